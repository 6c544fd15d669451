"""Matching and clustering of a whole snapshot."""

__all__ = ["report", "stage"]
