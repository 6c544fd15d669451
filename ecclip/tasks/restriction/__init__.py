"""Backgrounds of photos as shortcuts to age restriction: heads are guarded against them, and the report says how."""

__all__ = ["background", "balance"]
