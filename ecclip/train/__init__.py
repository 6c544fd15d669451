"""The contrastive training engine: exact at any batch size, killable at any step.

Imports with torch, timm, transformers, numpy, pyarrow and Pillow alone; the stages are in :mod:`ecclip.train.stages`.
"""

from ecclip.model import WAIT_POLICY  # first: it must be set before torch is imported
from ecclip.train._accumulate import Batch, accumulate_gradients
from ecclip.train._checkpoint import Checkpoint, CheckpointStore
from ecclip.train._config import AugmentConfig, Labels, Loss, OptimizerConfig, OrderConfig, Precision, TrainerConfig
from ecclip.train._encode import encode_images, encode_texts
from ecclip.train._errors import (
    PREEMPTED_EXIT_CODE,
    CheckpointError,
    DivergedError,
    OutOfMemoryError,
    PairsError,
    Preempted,
    ProcessesError,
    TrainError,
)
from ecclip.train._heap import keep_freed_memory
from ecclip.train._lanes import lanes_for
from ecclip.train._loader import Loader
from ecclip.train._loss import contrastive_gradients
from ecclip.train._measures import Tracker
from ecclip.train._optimizer import Optimizer, rate_factor
from ecclip.train._order import plan_epoch, plan_training
from ecclip.train._pairs import Pair, Pairs, open_pairs
from ecclip.train._process import deterministic
from ecclip.train._progress import Progress
from ecclip.train._retrieval import RECALL_AT, recall_at_k, retrieval_metrics
from ecclip.train._sigmoid_loss import sigmoid_gradients
from ecclip.train._similarity import LossGradients
from ecclip.train._trainer import Trainer

__all__ = [
    "PREEMPTED_EXIT_CODE",
    "RECALL_AT",
    "WAIT_POLICY",
    "AugmentConfig",
    "Batch",
    "Checkpoint",
    "CheckpointError",
    "CheckpointStore",
    "DivergedError",
    "Labels",
    "Loader",
    "Loss",
    "LossGradients",
    "Optimizer",
    "OptimizerConfig",
    "OrderConfig",
    "OutOfMemoryError",
    "Pair",
    "Pairs",
    "PairsError",
    "Precision",
    "Preempted",
    "ProcessesError",
    "Progress",
    "Tracker",
    "TrainError",
    "Trainer",
    "TrainerConfig",
    "accumulate_gradients",
    "contrastive_gradients",
    "deterministic",
    "encode_images",
    "encode_texts",
    "keep_freed_memory",
    "lanes_for",
    "open_pairs",
    "plan_epoch",
    "plan_training",
    "rate_factor",
    "recall_at_k",
    "retrieval_metrics",
    "sigmoid_gradients",
]
