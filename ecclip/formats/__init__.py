"""What the rooms hand to each other on disk: typed readers and writers, without torch and without Spark."""

__all__ = ["embeddings"]
