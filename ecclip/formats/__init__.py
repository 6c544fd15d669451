"""The formats on disk by which rooms exchange data: typed readers and writers, without torch and without Spark."""

__all__ = [
    "answers",
    "bundle",
    "columns",
    "documents",
    "embeddings",
    "live",
    "pair_scores",
    "recipes",
    "report",
    "sampling",
    "service",
    "shards",
    "snapshot",
    "start",
]
