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


class CatalogIdConfig(StageConfig):
    """What the shop says itself."""

    max_listings: int = Field(
        1000, ge=2, description="a catalog_id of more listings names no product: left out and counted; by judgment"
    )


class SameCodeConfig(StageConfig):
    """Two titles with one model code."""

    max_listings: int = Field(20, ge=2, description="a model code of more titles than this is a size or a slogan")
    min_title_similarity: float = Field(0.2, ge=0, le=1, description="least similarity of the titles")


class SamePhotoConfig(StageConfig):
    """Two photos with one perceptual hash."""

    min_title_similarity: float = Field(0.2, ge=0, le=1, description="least similarity of the titles")


class NearPhotoConfig(StageConfig):
    """Two photos with similar perceptual hashes."""

    max_distance: int = Field(8, ge=0, le=32, description="largest Hamming distance of the photo hashes (64 bits)")
    min_title_similarity: float = Field(0.4, ge=0, le=1, description="least similarity of the titles")
    max_price_ratio: float = Field(
        1.2, ge=1, description="largest price ratio; that of near titles which name no model, too"
    )


class NearTitleConfig(StageConfig):
    """Two similar titles without other evidence."""

    min_similarity: float = Field(0.8, ge=0, le=1, description="least similarity of the titles")


class SameFactsConfig(StageConfig):
    """Two listings whose brand and other facts agree."""

    max_price_ratio: float = Field(1.2, ge=1, description="largest price ratio")


class ContradictionConfig(StageConfig):
    """What rules a pair out whatever the evidence."""

    max_price_ratio: float = Field(2.0, ge=1, description="a larger price ratio (in one currency) rules a pair out")
    min_title_similarity: float = Field(
        0.5, ge=0, le=1, description="less similar titles rule out a pair of two categories"
    )


class EvidenceConfig(StageConfig):
    """When two listings count as one product, a section per kind of evidence; similarities are weighted Jaccard ones.

    The defaults of the sections ``same_code`` to ``contradiction`` and of ``chance`` were chosen on sample seeds 1-4,
    7, 11 and 13; seeds 17 and 19 were held out (results/catalog.json, ``group_precision`` and ``group_recall``).
    """

    catalog_id: CatalogIdConfig = Field(CatalogIdConfig(), description="what the shop says itself")
    same_code: SameCodeConfig = Field(SameCodeConfig(), description="two titles with one model code")
    same_photo: SamePhotoConfig = Field(SamePhotoConfig(), description="two photos with one perceptual hash")
    near_photo: NearPhotoConfig = Field(NearPhotoConfig(), description="two photos with similar perceptual hashes")
    near_title: NearTitleConfig = Field(NearTitleConfig(), description="two similar titles without other evidence")
    same_facts: SameFactsConfig = Field(SameFactsConfig(), description="two listings whose facts agree")
    contradiction: ContradictionConfig = Field(ContradictionConfig(), description="what rules a pair out")
    chance: float = Field(
        0.2,
        gt=0,
        description="largest expected number of listings that agree by chance in what two listings without a model "
        "code, or one with and one without, agree in",
    )
    max_block_size: int = Field(
        50, ge=2, description="larger blocks of candidates are left out and counted; by judgment"
    )
    max_group_size: int = Field(
        200,
        ge=2,
        description="a larger component is split at its weakest evidence; catalog_id is never split; by judgment",
    )
    sample_listings: int = Field(
        30_000,
        ge=100,
        description="about this many listings at most are read to learn which facts title words imply; by judgment",
    )


def weight(kind: str, similarity: float) -> float:
    """Return an edge's weight (0..1): a stronger kind outweighs a weaker one whatever the similarity (0..1)."""
    return round((len(KINDS) - 1 - KINDS.index(kind) + similarity) / len(KINDS), 6)
