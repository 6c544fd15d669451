"""The parts of ``ecclip bench train``: our step, the peer's, their sizes, and the processes that measure them."""
