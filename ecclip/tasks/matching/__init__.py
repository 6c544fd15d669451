"""Matching and clustering of a whole snapshot."""

__all__ = ["neighbours", "pairs", "products", "report", "stage"]
