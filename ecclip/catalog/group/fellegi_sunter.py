"""Two listings that agree in so many rare facts that chance does not explain it (Fellegi and Sunter, 1969)."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from ecclip.catalog.group.evidence import EvidenceConfig
from ecclip.catalog.group.term_statistics import BRAND, Fact, TermStatistics

# largest ratio of near prices, and their log likelihood ratio, on the seeds below
_NEAR_PRICE, _NEAR_PRICE_LOG_RATIO = 1.3, 1.2
# log likelihood ratio of a photo-hash distance, same product against two of one category, on sample seeds 1-4, 7, 11
# and 13: a product photographed again is about as far from itself as from others, so only near photos say much
_PHOTO_LOG_RATIOS = ((3, 4.0), (7, 2.0), (15, 0.8), (31, 0.0), (64, -1.0))


def agreeing(cfg: EvidenceConfig, pairs: DataFrame, terms: TermStatistics) -> DataFrame:
    """Return ``left, right, similarity`` of the pairs whose facts agree more than chance explains (see ``agree``)."""
    shared = pairs.sparkSession.sparkContext.broadcast(terms)

    def keep_agreeing(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            kept = [agree(cfg, shared.value, row) for row in batch.to_pylist()]
            yield batch.select(["left", "right", "similarity"]).filter(pa.array(kept, pa.bool_()))

    columns = pairs.select(
        "left",
        "right",
        "similarity",
        "distance",
        *[f"{side}_{name}" for side in ("left", "right") for name in ("fact_texts", "price", "currency")],
    )
    return columns.where(F.arrays_overlap("left_fact_texts", "right_fact_texts")).mapInArrow(
        keep_agreeing, "left string, right string, similarity double"
    )


def agree(cfg: EvidenceConfig, terms: TermStatistics, pair: dict[str, object]) -> bool:
    """Return whether fewer than ``chance`` listings are expected to agree with one of the pair by chance in all of
    this: surprisal of the shared facts plus log likelihood ratios of photo and price >= ln(listings / chance), the
    decision rule of Fellegi and Sunter (1969) with one threshold.

    The brand must be among them. ``pair`` has fact_texts, price and currency of both sides and the distance of the
    photo hashes.
    """
    left, right = _facts(pair["left_fact_texts"]), _facts(pair["right_fact_texts"])
    both = [fact for fact in left if fact in right]
    ratio = price_ratio(pair)
    if BRAND not in dict(both) or (ratio is not None and ratio > cfg.same_facts.max_price_ratio):
        return False
    surprisal = terms.surprisal(both) + _photo_log_ratio(pair["distance"])
    surprisal += _NEAR_PRICE_LOG_RATIO if ratio is not None and ratio <= _NEAR_PRICE else 0.0
    return surprisal >= math.log(max(terms.listings, 1) / cfg.chance)


def price_ratio(pair: dict[str, object]) -> float | None:
    """Return the ratio of the higher to the lower price, or None where they cannot be compared."""
    left, right = pair["left_price"], pair["right_price"]
    if not isinstance(left, float) or not isinstance(right, float) or min(left, right) <= 0:
        return None
    if pair["left_currency"] is None or pair["left_currency"] != pair["right_currency"]:
        return None
    return max(left, right) / min(left, right)


def _facts(facts: object) -> list[Fact]:
    assert isinstance(facts, list)
    return [(name, value) for name, value in (fact.split("\x1f", 1) for fact in facts)]


def _photo_log_ratio(distance: object) -> float:
    if not isinstance(distance, int):
        return 0.0
    return next(ratio for most, ratio in _PHOTO_LOG_RATIOS if distance <= most)
