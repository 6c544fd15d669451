"""Configuration of the training engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from ecclip.errors import ConfigError
from ecclip.fields import parameter, verify
from ecclip.train.loss.labels import Labels

Loss = Literal["softmax", "sigmoid"]
Precision = Literal["float32", "bfloat16", "float16"]
LearningRateScaling = Literal["root", "linear", "none"]
_STRICT = {"extra": "forbid"}
_LARGEST_SCALE = 4.0  # sixteen times the cost of an answer: a slip of the pen, by judgment
# For the preset small: low layers see edges, colours and words that every catalog shares, and they cost the most.
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


@dataclass(frozen=True, kw_only=True)
class SamplerConfig:
    """How batches are composed; defaults by judgment."""

    __pydantic_config__: ClassVar[dict[str, str]] = _STRICT
    batch_size: int = parameter(64, "pairs per batch; all of them are compared with each other", ge=2)
    group_share: float = parameter(
        0.5,
        "share of a batch that comes as several listings of one group, as far as there are such: what the catalog"
        " teaches",
        ge=0,
        le=1,
    )
    listings_per_group: int = parameter(4, "most listings of a group that come together", ge=2)
    distinct_groups: bool = parameter(
        True, "never put listings of one group into a batch but those that group_share puts together"
    )
    hard_negative_share: float = parameter(
        0.25, "share of a batch that comes as clusters of one category: hard negatives", ge=0, le=1
    )
    cluster_size: int = parameter(4, "listings per cluster of hard negatives", ge=2)
    first_batch_size: int | None = parameter(
        None,
        "size of the first batches, which then double up to batch_size, which is the largest value; none: all batches"
        " have one size",
        ge=2,
    )
    ramp_share: float = parameter(
        0.5, "share of the training's pairs after which batches have their full size", gt=0, le=1
    )

    def __post_init__(self) -> None:
        verify(self)
        if self.first_batch_size is not None and self.first_batch_size > self.batch_size:
            limit = f"2 to batch_size, {self.batch_size}"
            raise ConfigError(
                "sampler: first_batch_size does not fit",
                value=self.first_batch_size,
                limit=limit,
                next_step="correct it in params.yaml, section train",
            )


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """How a pair is varied from epoch to epoch; defaults by judgment."""

    __pydantic_config__: ClassVar[dict[str, str]] = _STRICT
    smallest_crop: float = parameter(
        0.6, "smallest part of the centre square's area that a crop keeps; 1: no cropping", gt=0, le=1
    )
    flip: float = parameter(0.5, "probability of a mirrored photo", ge=0, le=1)
    richer_text: float = parameter(
        0.25, "probability that brand and attribute values are appended to the title", ge=0, le=1
    )

    def __post_init__(self) -> None:
        verify(self)


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """AdamW with two learning rates, a warm-up and a cosine to zero (Loshchilov and Hutter 2019); by judgment."""

    __pydantic_config__: ClassVar[dict[str, str]] = _STRICT
    tower_learning_rate: float = parameter(3e-4, "highest learning rate of the pretrained towers", gt=0)
    projection_learning_rate: float = parameter(
        2e-3, "highest learning rate of the projections and the temperature", gt=0
    )
    weight_decay: float = parameter(0.05, "of matrices; vectors and the temperature have none", ge=0)
    warmup_share: float = parameter(0.1, "share of the steps over which the learning rates rise", ge=0, lt=1)
    layer_decay: float = parameter(
        1.0,
        "factor on the learning rate from each layer of a tower to the one below it; 1: one rate for all",
        gt=0,
        le=1,
    )
    learning_rate_scaling: LearningRateScaling = parameter(
        "root",
        "how the learning rates follow a batch that is smaller than the full one: by the root of its share (for Adam;"
        " Malladi et al. 2022), by the share itself, or not at all",
    )
    clip_norm: float = parameter(1.0, "largest norm of the whole gradient", gt=0)
    freeze: tuple[str, ...] | None = parameter(
        None,
        "prefixes of parameter names that are not trained; none: the lower layers of the preset small, and nothing of"
        " other towers",
    )

    def __post_init__(self) -> None:
        verify(self)


@dataclass(frozen=True, kw_only=True)
class TrainerConfig:
    """Everything that decides the result of a training, apart from its data and the towers it starts from.

    Defaults by judgment, but for the passes: results/pretrain_quality.json has two epochs beside them.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = _STRICT
    epochs: int = parameter(8, "passes over the pairs, at most where there is a patience", ge=1)
    seed: int = parameter(0, "every random choice is a pure function of it, the epoch, the step and the row", ge=0)
    loss: Loss = parameter("softmax", "cross entropy over the batch (softmax) or a sigmoid for every pair")
    labels: Labels = parameter(
        Labels.SOFT_WITHIN,
        "what counts as a match within a group: the own pair alone (hard), the others being left out (mask), every pair"
        " of image and text (soft), or also every pair of images and of texts (soft_within)",
    )
    weak_groups: float = parameter(
        0.0,
        "how much less sure a match is where the evidence that joins its group is weak: certainty = 1 - weak_groups x"
        " (1 - weight of a listing's strongest evidence); 0: all groups count alike",
        ge=0,
        le=1,
    )
    image_size: int | None = parameter(
        None,
        "side of the pictures that training sees, pixels; none: that of the towers. A smaller one is cheaper and may"
        " cost nothing (Touvron et al. 2019); networks with a fixed input size take no other",
        ge=2,
    )
    micro_batch_size: int = parameter(
        128,
        "largest number of pairs on the device at once; a larger batch is accumulated exactly. Halved when memory"
        " runs out",
        ge=1,
    )
    micro_batch_tokens: int | None = parameter(
        None, "largest number of tokens on the device at once, padding included; none: no limit. Halved likewise", ge=1
    )
    precision: Precision = parameter(
        "float32", "number format of the encoders; logits and loss are always at least float32"
    )
    compile: bool = parameter(False, "compile both networks with torch.compile")
    channels_last: bool = parameter(True, "keep pictures and convolutions in the channels-last layout")
    fused_attention: bool = parameter(
        False, "scaled_dot_product_attention in the text tower instead of plain matrix products"
    )
    gradient_checkpointing: bool = parameter(
        False, "keep the inputs of the layers only and compute the rest again in the backward pass"
    )
    weight_interpolation: float | None = parameter(
        None,
        "share of the initial weights in the final ones (Wortsman et al. 2022, Robust fine-tuning); none: the best of"
        " interpolation_shares on validation",
        ge=0,
        le=1,
    )
    interpolation_shares: tuple[float, ...] = parameter(
        (0.5, 0.0, 1.0),
        "shares that are tried where none is given; 1 leaves the networks as they were: never worse than not training."
        " Each costs a pass over the listings of the probe. Of equal ones the first is taken",
    )
    photo_scales: tuple[float, ...] = parameter(
        (1.0, 1.25, 1.75),
        "sizes of photos that are tried after the first training, as factors on that of the towers (rounded to 32"
        " pixels): the best on validation is embedded and served, a larger one where it gains enough (Touvron et al."
        " 2019). Its area is what an answer costs. None of them: the towers' own",
    )
    average_decay: float | None = parameter(
        None,
        "decay of a moving average of the weights, which takes their place at the end; none: no average. Takes the"
        " memory of the weights once more",
        ge=0,
        lt=1,
    )
    patience: int | None = parameter(
        1,
        "validations in a row without a gain of retrieval after which training stops; none: it runs all epochs",
        ge=1,
    )
    checkpoint_every: int = parameter(20, "steps between checkpoints", ge=1)
    keep_checkpoints: int = parameter(2, "valid checkpoints that are kept", ge=1)
    max_skipped: int = parameter(
        5, "consecutive steps that may be skipped because their gradients are not finite", ge=0
    )
    workers: int = parameter(
        1, "threads that decode ahead of training; the batches do not depend on their number", ge=0
    )
    validate_every: int = parameter(0, "steps between validations; 0: after every epoch", ge=0)
    sampler: SamplerConfig = parameter(SamplerConfig, "how batches are composed")
    augment: AugmentConfig = parameter(AugmentConfig, "how a pair is varied from epoch to epoch")
    optimizer: OptimizerConfig = parameter(OptimizerConfig, "learning rates and what follows them")

    @property
    def shares(self) -> tuple[float, ...]:
        """The shares of the initial weights that are tried; one alone is taken unseen."""
        return self.interpolation_shares if self.weight_interpolation is None else (self.weight_interpolation,)

    def __post_init__(self) -> None:
        verify(self)
        if not self.interpolation_shares or not all(0 <= share <= 1 for share in self.interpolation_shares):
            raise ConfigError(
                "trainer: interpolation_shares does not fit",
                value=self.interpolation_shares,
                limit="one share from 0 to 1, or several",
                next_step="correct it in params.yaml, section train",
            )
        if not all(0 < scale <= _LARGEST_SCALE for scale in self.photo_scales):
            raise ConfigError(
                "trainer: photo_scales does not fit",
                value=self.photo_scales,
                limit=f"factors above 0, {_LARGEST_SCALE} at the most; or none",
                next_step="correct it in params.yaml, section train",
            )
