"""The training step and the loop around it: exact at any batch size, killable at any step."""

__all__ = ["accumulation", "budget", "heap", "process", "retrieval", "trainer"]
