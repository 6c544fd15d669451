"""Matching and clustering of a whole snapshot."""

__all__ = ["neighbours", "paired", "pairs", "products", "report", "stage"]
