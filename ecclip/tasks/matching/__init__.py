"""Matching and clustering of a whole snapshot."""

__all__ = [
    "candidates",
    "described",
    "evidence",
    "neighbours",
    "pair_model",
    "paired",
    "pairs",
    "products",
    "report",
    "stage",
    "teaching",
]
