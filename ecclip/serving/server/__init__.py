"""The embedded Triton server: started, found, supervised and stopped."""

__all__ = ["access", "control", "embedded"]
