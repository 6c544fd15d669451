"""The report of a bundle: metrics, examples, a page, and the evidence from which its claims are recomputed."""

__all__ = ["claims", "classes", "evidence", "findings", "frozen", "metrics", "page", "parts", "recount"]
