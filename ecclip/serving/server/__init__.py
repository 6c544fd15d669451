"""The embedded Triton server: started, found again, watched over and stopped."""

__all__ = ["control", "embedded"]
