"""The formats on disk by which rooms exchange data: typed readers and writers, without torch and without Spark."""

__all__ = [
    "answers",
    "bundle",
    "columns",
    "corrections",
    "documents",
    "embeddings",
    "live",
    "pair_scores",
    "policies",
    "report",
    "sampling",
    "service",
    "shards",
    "snapshot",
    "start",
    "taxonomy",
]
