"""The contrastive training engine: exact at any batch size, killable at any step.

Imports with torch, timm, transformers, numpy, pyarrow and Pillow alone; the stage is :mod:`ecclip.train.run.stage`.
"""

from ecclip.errors import (
    PREEMPTED_EXIT_CODE,
    CheckpointError,
    DivergedError,
    OutOfMemoryError,
    PairsError,
    Preempted,
    ProcessesError,
    TrainError,
)
from ecclip.model import (
    WAIT_POLICY,  # first: it must be set before torch is imported
    encode_images,
    encode_texts,
)
from ecclip.train.config import AugmentConfig, Loss, OptimizerConfig, Precision, SamplerConfig, TrainerConfig
from ecclip.train.data.loader import Loader
from ecclip.train.data.order import plan_epoch, plan_training
from ecclip.train.data.pairs import Pair, Pairs, open_pairs
from ecclip.train.distributed.world import SINGLE_PROCESS
from ecclip.train.engine.accumulation import Batch, accumulate_gradients
from ecclip.train.engine.checkpoint import Checkpoint, CheckpointStore
from ecclip.train.engine.heap import keep_freed_memory
from ecclip.train.engine.measures import Tracker
from ecclip.train.engine.optimizer import Optimizer, rate_factor
from ecclip.train.engine.process import deterministic
from ecclip.train.engine.progress import Progress
from ecclip.train.engine.retrieval import RECALL_AT, hit_ranks, recall_at_k, retrieval_metrics
from ecclip.train.engine.tower_executor import tower_executor
from ecclip.train.engine.trainer import Trainer
from ecclip.train.loss.contrastive import contrastive_gradients
from ecclip.train.loss.labels import Labels
from ecclip.train.loss.sigmoid import sigmoid_gradients
from ecclip.train.loss.similarity import LossGradients
from ecclip.train.weights.interpolation import Interpolation
from ecclip.train.weights.photo_size import choose_photo_size
from ecclip.train.weights.probe import Labelled, Probe

__all__ = [
    "PREEMPTED_EXIT_CODE",
    "RECALL_AT",
    "SINGLE_PROCESS",
    "WAIT_POLICY",
    "AugmentConfig",
    "Batch",
    "Checkpoint",
    "CheckpointError",
    "CheckpointStore",
    "DivergedError",
    "Interpolation",
    "Labelled",
    "Labels",
    "Loader",
    "Loss",
    "LossGradients",
    "Optimizer",
    "OptimizerConfig",
    "OutOfMemoryError",
    "Pair",
    "Pairs",
    "PairsError",
    "Precision",
    "Preempted",
    "Probe",
    "ProcessesError",
    "Progress",
    "SamplerConfig",
    "Tracker",
    "TrainError",
    "Trainer",
    "TrainerConfig",
    "accumulate_gradients",
    "choose_photo_size",
    "contrastive_gradients",
    "deterministic",
    "encode_images",
    "encode_texts",
    "hit_ranks",
    "keep_freed_memory",
    "open_pairs",
    "plan_epoch",
    "plan_training",
    "rate_factor",
    "recall_at_k",
    "retrieval_metrics",
    "run",
    "sigmoid_gradients",
    "tower_executor",
]
