"""The training step and the loop around it: exact at any batch size, killable at any step."""
