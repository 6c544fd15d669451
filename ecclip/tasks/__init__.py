"""Embeddings and labels to heads, thresholds and a report; matching and clustering of the whole catalog."""

from ecclip.tasks._heads import Heads, HeadTask, load_heads

__all__ = ["HeadTask", "Heads", "load_heads"]
