"""Parameters of the two stages of this room."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ecclip.core import StageConfig


class HeadsConfig(StageConfig):
    """How the heads are fitted."""

    features: dict[str, Literal["embedding", "towers", "both"]] = Field(
        {},
        description="task -> what its heads read: the embedding, the towers' own features, or both; a task that is not "
        "named reads both, or the embedding alone where `embed.features` is off",
    )
    regularisation: tuple[float, ...] = Field(
        (0.001, 0.01, 0.1, 1.0),
        min_length=1,
        description="values of scikit-learn's C (inverse strength of the L2 penalty) to try, the strongest penalty "
        "first, until validation gets worse; by judgment: decades up to scikit-learn's default",
    )
    axes: int = Field(
        256,
        ge=2,
        description="principal axes of what a head reads that are kept while it is fitted; by judgment: half the time "
        "of 512, and on 800 listings of a shop no other answers beyond the noise",
    )
    discriminant_above: int = Field(
        500,
        ge=2,
        description="labels above which a head is fitted in closed form, by linear discriminants, instead of by "
        "logistic regression, whose time grows with the labels (docs/benchmarks.md)",
    )
    fusion: Literal["best", "joint", "stacked"] = Field(
        "best",
        description="how heads of photo and title come about: one fit of both at once (joint), the two heads weighed "
        "on validation (stacked), or whichever is best there of these and either head alone (best)",
    )
    max_iterations: int = Field(
        200, ge=1, description="iterations of the solver of a head; twice the default of scikit-learn"
    )


class CalibrationConfig(StageConfig):
    """How scores become probabilities, and how far off these are measured to be."""

    min_rows: int = Field(20, ge=1, description="fewer validation rows calibrate nothing")
    bins: int = Field(
        10,
        ge=2,
        description="bins of equal width of the calibration error and of the diagram, as in Niculescu-Mizil and "
        "Caruana (2005)",
    )


class AutoConfig(StageConfig):
    """When an answer is `auto` and needs no review."""

    precision: float = Field(
        0.95, gt=0, le=1, description="the promise: precision of `auto` answers of a task and modality"
    )
    confidence: float = Field(
        0.95,
        ge=0.5,
        lt=1,
        description="probability with which a night's thresholds keep the promise on listings like those held out; "
        "what is not proven is `review`",
    )
    min_rows: int = Field(
        20,
        ge=1,
        description="held-out answers needed before any answer is `auto`, besides those of a proof: 59 without an "
        "error for 0.95 at 95 %",
    )


class CategoryConfig(StageConfig):
    """Which categories are learnt, and when one without examples is suggested."""

    min_count: int = Field(2, ge=1, description="train listings that a category path needs")
    suggested_share: float = Field(
        0.05,
        ge=0,
        lt=0.5,
        description="share of the listings of learnt categories to which a category of the taxonomy without examples "
        "may be suggested; 0: none is; by judgment",
    )


class OpenValuesConfig(StageConfig):
    """How values that are too many to be listed are read out of titles and descriptions; defaults by judgment."""

    min_count: int = Field(30, ge=1, description="train listings whose texts have the attribute's stated value")
    min_found: float = Field(
        0.3, gt=0, le=1, description="... as a share of those that state one: what no text says cannot be read"
    )
    max_names: int = Field(40, ge=0, description="attributes that are read; those found most often are kept")
    max_listings: int = Field(4000, ge=1, description="train listings that teach: bounds the time")
    strengths: tuple[float, ...] = Field(
        (0.5,),
        min_length=1,
        description="values of scikit-learn's C (inverse strength of the L2 penalty) to try; of several validation "
        "decides",
    )
    max_iterations: int = Field(40, ge=1, description="iterations of the solver")


class AttributesConfig(StageConfig):
    """Which attributes and which of their values are learnt."""

    min_count: int = Field(30, ge=1, description="train listings that an attribute name needs")
    min_value_count: int = Field(8, ge=1, description="train listings that an attribute value needs")
    max_values: int = Field(40, ge=2, description="values of one attribute; the most frequent are kept")
    min_coverage: float = Field(0.5, ge=0, le=1, description="share of an attribute's rows that its values cover")
    max_heads: int = Field(20, ge=0, description="attribute heads; the most frequent names are kept")
    min_category_listings: int = Field(
        20, ge=1, description="train listings with specs from which on a level of the category says which names apply"
    )
    min_category_count: int = Field(3, ge=1, description="... of which so many state a name that applies there")
    min_category_share: float = Field(0.02, ge=0, le=1, description="... and at least this share of them")
    open: OpenValuesConfig = Field(OpenValuesConfig(), description="how values that no list holds are read")


class MatchingConfig(StageConfig):
    """When two listings match, and how large a product may become."""

    precision: float = Field(0.95, gt=0, le=1, description="precision on validation of matched pairs")
    min_pairs: int = Field(10, ge=1, description="validation pairs needed before a match threshold is set")
    neighbours: int = Field(20, ge=1, description="neighbours looked up for a listing")
    max_product_size: int = Field(50, ge=2, description="listings that matching may join in one product")


class ReportedMatchingConfig(MatchingConfig):
    """Matching as the report measures it."""

    neighbours: int = Field(
        20, ge=10, description="neighbours looked up for a listing; a match is mutual; recall@10 needs ten"
    )


class EvaluateConfig(StageConfig):
    """Parameters of ``evaluate``; defaults by judgment unless a field names a source."""

    seed: int = Field(0, description="seed of the bootstrap and of the drawn examples")
    heads: HeadsConfig = Field(HeadsConfig(), description="how the heads are fitted")
    calibration: CalibrationConfig = Field(CalibrationConfig(), description="how scores become probabilities")
    auto: AutoConfig = Field(AutoConfig(), description="when an answer is `auto`")
    category: CategoryConfig = Field(CategoryConfig(), description="which categories are learnt")
    attributes: AttributesConfig = Field(AttributesConfig(), description="which attributes are learnt")
    matching: ReportedMatchingConfig = Field(ReportedMatchingConfig(), description="when two listings match")
    bootstrap_rounds: int = Field(300, ge=20, description="resamplings of the groups for a 95 % interval")
    examples: int = Field(8, ge=0, description="right and wrong answers shown with photos, each")


class SearchConfig(StageConfig):
    """How candidates are found."""

    block_rows: int = Field(4096, ge=1, description="listings looked up at once: bounds the memory")
    exact_rows: int = Field(
        200_000, ge=1, description="listings above which an inverted file replaces the exact search"
    )
    max_block: int = Field(
        20, ge=2, description="listings that share a blocking key; those of a larger block are no candidates by it"
    )


class TextMatcherConfig(StageConfig):
    """A text matcher: the text tower, fine-tuned to read the texts of two listings as one."""

    train_pairs: int = Field(
        0,
        ge=0,
        description="labelled pairs that fine-tune the text matcher, those first that the evidence decides least; "
        "0: there is none. It costs minutes: docs/products.md",
    )
    read_pairs: int = Field(
        20_000,
        ge=1,
        description="undecided pairs that it reads at once at most (train, validation and the night's own, each), "
        "the least decided first: bounds the time",
    )
    epochs: int = Field(3, ge=1, description="passes over the pairs, as BERT is fine-tuned (Devlin et al. 2019)")
    learning_rate: float = Field(1e-4, gt=0, description="highest rate of AdamW; for the small tower of the default")
    max_tokens: int = Field(64, ge=8, description="tokens of both texts together; longer ones are cut")
    keep_nights: int = Field(
        7,
        ge=1,
        description="nights that a text matcher serves before another one is fine-tuned; in each of them validation "
        "says anew whether it is used",
    )


class GroupProductsConfig(StageConfig):
    """Parameters of ``group_products``; defaults by judgment, those of ``matching`` as in ``evaluate``."""

    min_probability: float | None = Field(
        None,
        ge=0,
        le=1,
        description="probability of one product from which two listings match; None: the least that keeps "
        "`matching.precision` on validation",
    )
    matching: MatchingConfig = Field(MatchingConfig(), description="when two listings match")
    search: SearchConfig = Field(SearchConfig(), description="how candidates are found")
    text_matcher: TextMatcherConfig = Field(
        TextMatcherConfig(), description="what reads the texts of undecided pairs, where it pays"
    )
    keep_known_groups: bool = Field(True, description="listings of one group of the snapshot stay one product")
