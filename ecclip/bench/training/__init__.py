"""The parts of ``ecclip bench train``: our step, the peer's, their sizes, and the processes that measure them."""

import ecclip.model  # noqa: F401 - sets how threads wait, which must happen before torch is imported

__all__ = ["gpu_sections", "gpu_sizes", "sizes", "tasks"]
