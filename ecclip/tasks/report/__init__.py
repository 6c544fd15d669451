"""The report of a bundle: measures, examples, one page, and the evidence by which its claims are counted again."""

__all__ = ["classes", "evidence", "findings", "metrics", "page"]
