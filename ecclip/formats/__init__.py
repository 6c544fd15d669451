"""What the rooms hand to each other on disk: typed readers and writers, without torch and without Spark."""

__all__ = [
    "bundle",
    "columns",
    "documents",
    "embeddings",
    "pair_scores",
    "sampling",
    "service",
    "shards",
    "snapshot",
    "start",
]
