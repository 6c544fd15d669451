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
    "refining",
    "report",
    "stage",
    "teaching",
    "text_matcher",
]
