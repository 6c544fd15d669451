"""The loss scale of float16: gradients too small for the format are scaled up, and back down afterwards."""

from __future__ import annotations

INITIAL_LOSS_SCALE = 2.0**16  # of torch.amp.GradScaler
_STEPS_TO_GROW = 2000  # growth interval of torch.amp.GradScaler


def next_loss_scale(scale: float, steps_since_overflow: int, finite: bool) -> tuple[float, int]:
    """Return scale and number of good steps after one more step, as torch.amp.GradScaler does.

    An overflow halves the scale; ``_STEPS_TO_GROW`` good steps in a row double it. A pure function, so that a resumed
    training continues identically; powers of two, so that scaling never rounds.
    """
    if not finite:
        return max(1.0, scale / 2), 0
    if steps_since_overflow + 1 == _STEPS_TO_GROW:
        return scale * 2, 0
    return scale, steps_since_overflow + 1
