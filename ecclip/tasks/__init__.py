"""Embeddings and labels to heads, thresholds and a report; matching and clustering of the whole catalog."""

from ecclip.tasks.config import EvaluateConfig, GroupProductsConfig, SearchConfig
from ecclip.tasks.heads.fitting import train_heads
from ecclip.tasks.heads.matrix import Head, Heads, load_heads
from ecclip.tasks.matching.stage import group_products
from ecclip.tasks.report.claims import check_claims
from ecclip.tasks.report.classes import measure_auto
from ecclip.tasks.report.evidence import read_evidence
from ecclip.tasks.report.page import with_verdict
from ecclip.tasks.report.recount import Measured
from ecclip.tasks.rows import Rows
from ecclip.tasks.stage import evaluate

__all__ = [
    "EvaluateConfig",
    "GroupProductsConfig",
    "Head",
    "Heads",
    "Measured",
    "Rows",
    "SearchConfig",
    "attributes",
    "backing_off",
    "check_claims",
    "config",
    "decision",
    "evaluate",
    "group_products",
    "guarantee",
    "kinds",
    "levels",
    "load_heads",
    "matching",
    "measure_auto",
    "operating_point",
    "read_evidence",
    "rows",
    "scores",
    "thresholds",
    "train_heads",
    "unseen",
    "with_verdict",
]
