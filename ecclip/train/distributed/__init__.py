"""Several processes that train together, how they are started, and what each of them runs."""

__all__ = ["launch", "world"]
