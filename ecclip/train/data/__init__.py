"""Training pairs: read from shards, ordered by a pure function, decoded ahead of the step."""

__all__ = ["certainty", "listings", "loader", "order", "pairs", "preview"]
