"""The parts of ``ecclip bench quality``: public data without leaks, and linear probes."""

__all__ = ["data", "probe"]
