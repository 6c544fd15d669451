"""Parameters of the two stages of this room."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ecclip.core import StageConfig


class EvaluateConfig(StageConfig):
    """Parameters of ``evaluate``."""

    seed: int = Field(0, description="seed of the bootstrap and of the drawn examples")
    features: dict[str, Literal["embedding", "towers", "both"]] = Field(
        {},
        description="task -> what its heads read: the embedding, the towers' own features (`embed.features`), or both; "
        "a task that is not named reads the embedding",
    )
    regularisation: tuple[float, ...] = Field(
        (0.001, 0.01, 0.1, 1.0), min_length=1, description="strengths C tried; the best on validation is kept"
    )
    max_iterations: int = Field(200, ge=1, description="iterations of the solver of a head")
    calibration_min_rows: int = Field(20, ge=1, description="validation rows below which nothing is calibrated")
    calibration_bins: int = Field(10, ge=2, description="equal bins of the calibration error and of the diagram")
    auto_precision: float = Field(0.95, gt=0, le=1, description="precision on validation that `auto` answers keep")
    auto_min_rows: int = Field(20, ge=1, description="validation answers needed before any answer is `auto`")
    category_min_count: int = Field(2, ge=1, description="train listings that a category path needs")
    attribute_min_count: int = Field(30, ge=1, description="train listings that an attribute name needs")
    attribute_value_min_count: int = Field(8, ge=1, description="train listings that an attribute value needs")
    attribute_max_values: int = Field(40, ge=2, description="values of one attribute; the most frequent are kept")
    attribute_min_share: float = Field(
        0.5, ge=0, le=1, description="share of an attribute's rows that its values cover"
    )
    max_attributes: int = Field(20, ge=0, description="attribute heads; the most frequent names are kept")
    neighbours: int = Field(20, ge=10, description="neighbours looked up for a listing")
    match_precision: float = Field(0.95, gt=0, le=1, description="precision on validation of matched pairs")
    match_min_pairs: int = Field(10, ge=1, description="validation pairs needed before a match threshold is set")
    max_product_size: int = Field(50, ge=2, description="listings that one found product may hold")
    bootstrap_rounds: int = Field(300, ge=20, description="resamplings of the groups for a 95 % interval")
    examples: int = Field(8, ge=0, description="right and wrong answers shown with photos, each")


class GroupProductsConfig(StageConfig):
    """Parameters of ``group_products``."""

    threshold_both: float | None = Field(None, description="score of a match by photo and title; None: from validation")
    threshold_text: float | None = Field(
        None, description="score of a match where a listing has no photo; None: from validation"
    )
    match_precision: float = Field(0.95, gt=0, le=1, description="precision on validation of matched pairs")
    match_min_pairs: int = Field(10, ge=1, description="validation pairs needed before a match threshold is set")
    neighbours: int = Field(20, ge=1, description="neighbours looked up for a listing; a match is mutual")
    max_product_size: int = Field(50, ge=2, description="listings that matching may join in one product")
    keep_known_groups: bool = Field(True, description="listings of one group of the snapshot stay one product")
    block_rows: int = Field(4096, ge=1, description="listings looked up at once: bounds the memory")
    exact_rows: int = Field(
        200_000, ge=1, description="listings above which an inverted file replaces the exact search"
    )
