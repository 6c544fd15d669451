"""Embeddings and labels to heads, thresholds and a report; matching and clustering of the whole catalog."""

from ecclip.tasks._config import EvaluateConfig, GroupProductsConfig
from ecclip.tasks._evaluate import evaluate
from ecclip.tasks._evidence import check_claims, read_evidence
from ecclip.tasks._group_products import group_products
from ecclip.tasks._heads import Heads, HeadTask, load_heads

__all__ = [
    "EvaluateConfig",
    "GroupProductsConfig",
    "HeadTask",
    "Heads",
    "check_claims",
    "evaluate",
    "group_products",
    "load_heads",
    "read_evidence",
]
