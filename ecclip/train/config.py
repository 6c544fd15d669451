"""What the training engine is told."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from ecclip.train.errors import TrainError

Labels = Literal["soft", "mask", "hard"]
Loss = Literal["softmax", "sigmoid"]
Precision = Literal["float32", "bfloat16", "float16"]
_STRICT = {"extra": "forbid"}
# Of the preset small: edges, colours and words are the same in every catalog, and these layers cost the most.
FREEZE_SMALL = (
    "image_encoder.tower.conv_stem",
    "image_encoder.tower.bn1",
    "image_encoder.tower.blocks.0",
    "image_encoder.tower.blocks.1",
    "text_encoder.tower.embeddings",
    "text_encoder.tower.encoder.layer.0.",
    "text_encoder.tower.encoder.layer.1.",
    "text_encoder.tower.encoder.layer.2.",
)


def _require(condition: bool, what: str, value: object, limit: str) -> None:
    if not condition:
        raise TrainError(what, value=value, limit=limit)


@dataclass(frozen=True, kw_only=True)
class OrderConfig:
    """How batches are composed.

    Attributes:
        batch_size: pairs of a batch; all of them are compared with each other.
        distinct_groups: never put two listings of one group into a batch.
        neighbour_share: share of a batch that comes as clusters of one category: hard negatives.
        cluster_size: listings of such a cluster.
        first_batch_size: size of the first batches, which then double up to batch_size; None: all are of one size.
        ramp_share: share of all pairs of the training after which the batches have their full size.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = _STRICT
    batch_size: int = 64
    distinct_groups: bool = True
    neighbour_share: float = 0.25
    cluster_size: int = 4
    first_batch_size: int | None = None
    ramp_share: float = 0.5

    def __post_init__(self) -> None:
        _require(self.batch_size >= 2, "order: batch_size is too small", self.batch_size, "at least 2")
        _require(0 <= self.neighbour_share <= 1, "order: neighbour_share is no share", self.neighbour_share, "[0, 1]")
        _require(self.cluster_size >= 2, "order: cluster_size is too small", self.cluster_size, "at least 2")
        _require(0 < self.ramp_share <= 1, "order: ramp_share is no share", self.ramp_share, "(0, 1]")
        first = self.batch_size if self.first_batch_size is None else self.first_batch_size
        limit = f"2 to batch_size, {self.batch_size}"
        _require(2 <= first <= self.batch_size, "order: first_batch_size does not fit", first, limit)


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """How a pair is varied from epoch to epoch.

    Attributes:
        smallest_crop: smallest part of the centre square's area that a crop keeps; 1: no cropping.
        flip: chance of a mirrored photo.
        richer_text: chance that brand and attribute values are appended to the title.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = _STRICT
    smallest_crop: float = 0.6
    flip: float = 0.5
    richer_text: float = 0.25

    def __post_init__(self) -> None:
        _require(0 < self.smallest_crop <= 1, "augment: smallest_crop is no share", self.smallest_crop, "(0, 1]")
        for name in ("flip", "richer_text"):
            _require(0 <= getattr(self, name) <= 1, f"augment: {name} is no chance", getattr(self, name), "[0, 1]")


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """AdamW with two rates, a warm-up and a cosine down to zero.

    Attributes:
        tower_rate: highest learning rate of the pretrained towers.
        projection_rate: highest learning rate of the projections and the temperature.
        weight_decay: of matrices; vectors and the temperature have none.
        warmup_share: share of the steps over which the rates rise.
        layer_decay: factor on the rate from each layer of a tower to the one below it; 1: one rate for all.
        batch_rule: how the rates follow a batch that is smaller than the full one: by the root of its share (for
            Adam; Malladi et al. 2022), by the share itself, or not at all.
        clip_norm: largest norm of the whole gradient.
        freeze: prefixes of parameter names that are not trained; None: the lower layers of the preset small, and
            nothing of other towers.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = _STRICT
    tower_rate: float = 3e-4
    projection_rate: float = 2e-3
    weight_decay: float = 0.05
    warmup_share: float = 0.1
    layer_decay: float = 1.0
    batch_rule: Literal["root", "linear", "none"] = "root"
    clip_norm: float = 1.0
    freeze: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        for name in ("tower_rate", "projection_rate", "clip_norm"):
            _require(getattr(self, name) > 0, f"optimizer: {name} is not positive", getattr(self, name), "above 0")
        _require(0 <= self.warmup_share < 1, "optimizer: warmup_share is no share", self.warmup_share, "[0, 1)")
        _require(0 < self.layer_decay <= 1, "optimizer: layer_decay is no factor", self.layer_decay, "(0, 1]")


@dataclass(frozen=True, kw_only=True)
class TrainerConfig:
    """Everything that decides the result of a training, apart from its data and the towers it starts from.

    Attributes:
        epochs: passes over the pairs.
        seed: every random choice is a pure function of it, the epoch, the step and the row.
        loss: cross entropy over the batch or a sigmoid for every pair, see :func:`contrastive_gradients` and
            :func:`sigmoid_gradients`.
        labels: what counts as a match inside a group, see there.
        stream_size: most pairs that are on the device at once; a larger batch is accumulated exactly. Halved where
            the memory does not suffice.
        stream_tokens: most tokens that are on the device at once, padding included; None: no limit. Halved likewise.
        precision: number format of the encoders; logits and loss are always at least float32.
        compile: compile both networks with torch.compile.
        channels_last: keep pictures and convolutions in the channels-last layout.
        fused_attention: scaled_dot_product_attention in the text tower instead of plain matrix products.
        gradient_checkpointing: keep the inputs of the layers only and compute the rest again in the backward pass.
        start_share: share of the weights that the towers' networks had at the start in those that they end with
            (Wortsman et al. 2022, "Robust fine-tuning", section 3: interpolation keeps what the start knew).
        checkpoint_every: steps between checkpoints.
        keep_checkpoints: good checkpoints that are kept.
        max_skipped: steps in a row that may be skipped because they are not finite.
        workers: threads that decode ahead; the batches do not depend on their number.
        validate_every: steps between measurements of the held-out listings; 0: after every epoch.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = _STRICT
    epochs: int = 2
    seed: int = 0
    loss: Loss = "softmax"
    labels: Labels = "soft"
    stream_size: int = 128
    stream_tokens: int | None = None
    precision: Precision = "float32"
    compile: bool = False
    channels_last: bool = True
    fused_attention: bool = False
    gradient_checkpointing: bool = False
    start_share: float = 0.5
    checkpoint_every: int = 20
    keep_checkpoints: int = 2
    max_skipped: int = 5
    workers: int = 1
    validate_every: int = 0
    order: OrderConfig = field(default_factory=OrderConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)

    def __post_init__(self) -> None:
        for name in ("epochs", "stream_size", "checkpoint_every", "keep_checkpoints"):
            _require(getattr(self, name) >= 1, f"trainer: {name} is too small", getattr(self, name), "at least 1")
        _require(0 <= self.start_share < 1, "trainer: start_share is no share", self.start_share, "[0, 1)")
        if self.stream_tokens is not None:
            _require(self.stream_tokens >= 1, "trainer: stream_tokens is too small", self.stream_tokens, "at least 1")
        for name in ("seed", "max_skipped", "workers", "validate_every"):
            _require(getattr(self, name) >= 0, f"trainer: {name} is negative", getattr(self, name), "at least 0")
