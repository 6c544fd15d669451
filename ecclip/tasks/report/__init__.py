"""The report of a bundle: metrics, examples, a page, and the evidence from which its claims are recomputed."""

__all__ = ["classes", "evidence", "findings", "frozen", "metrics", "page", "paired", "slices", "zero_shot"]
