"""Categories of the taxonomy without examples (unseen ones): suggested by their names alone, marked, for review."""

__all__ = ["columns", "reported", "suggested"]
