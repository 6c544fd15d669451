"""When two listings count as one product: the parameters, the kinds of evidence and how strong each is."""

from __future__ import annotations

from pydantic import Field

from ecclip.core import StageConfig

CATALOG_ID = "catalog_id"
SAME_FACTS = "same_facts"
NEAR_TITLE = "near_title"
# strongest first; a component above the cap is split at the weakest
KINDS = (
    CATALOG_ID,
    "same_photo_and_title",
    "same_code",
    "same_photo",
    "near_photo_and_title",
    NEAR_TITLE,
    SAME_FACTS,
)
CUT, AMBIGUOUS = "cut", "ambiguous"


class EvidenceConfig(StageConfig):
    """When two listings count as one product; every rule requires that no fact contradicts it. The defaults were chosen
    on sample seeds 1-4, 7, 11 and 13; seeds 17 and 19 were held out (results/catalog.json, ``group_precision`` and
    ``group_recall``)."""

    code_listings: int = Field(20, ge=2, description="a model code of more titles than this is a size or a slogan")
    code_title: float = Field(0.2, ge=0, le=1, description="least title similarity beside a shared model code")
    same_photo_title: float = Field(0.2, ge=0, le=1, description="least title similarity beside an equal photo hash")
    near_photo_distance: int = Field(
        8, ge=0, le=32, description="largest Hamming distance of near photo hashes (64 bits)"
    )
    near_photo_title: float = Field(0.4, ge=0, le=1, description="least title similarity beside a near photo")
    near_photo_price: float = Field(
        1.2, ge=1, description="largest price ratio beside a near photo, and beside a near title that names no model"
    )
    title_alone: float = Field(0.8, ge=0, le=1, description="least title similarity without other evidence")
    category_title: float = Field(0.5, ge=0, le=1, description="least title similarity across two categories")
    price_ratio: float = Field(2.0, ge=1, description="a larger price ratio (in one currency) speaks against")
    chance: float = Field(
        0.2,
        gt=0,
        description="largest expected number of listings that agree by chance in what two listings without a model "
        "code, or one with and one without, agree in",
    )
    facts_price: float = Field(1.2, ge=1, description="largest price ratio where facts are the evidence")
    max_block_size: int = Field(50, ge=2, description="larger buckets of candidates are left out and counted")
    catalog_listings: int = Field(
        1000, ge=2, description="a catalog_id of more listings names no product: left out and counted"
    )
    group_cap: int = Field(
        200, ge=2, description="a larger component is split at its weakest evidence; catalog_id is never split"
    )
    sample_listings: int = Field(
        30_000, ge=100, description="at most about this many listings teach what title words say about the facts"
    )


def weight(kind: str, similarity: float) -> float:
    """Return an edge's weight (0..1): a stronger kind outweighs a weaker one whatever the similarity (0..1)."""
    return round((len(KINDS) - 1 - KINDS.index(kind) + similarity) / len(KINDS), 6)
