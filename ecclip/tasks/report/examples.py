"""Answers and found products worth looking at, with small photos."""

from __future__ import annotations

import base64
import io
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from ecclip.formats.columns import IMAGE_SHA256
from ecclip.formats.snapshot import Snapshot
from ecclip.tasks.kinds import Task
from ecclip.tasks.matching.report import FoundProducts
from ecclip.tasks.report.classes import ScoredHead
from ecclip.tasks.rows import Rows
from ecclip.tasks.scores import confidence, margins

THUMBNAIL_PX = 96  # longer side
_SHOWN_MEMBERS = 6  # of a found product


def answer_examples(
    task: Task, heads: Sequence[ScoredHead], rows: Rows, count: int, seed: int
) -> dict[str, list[dict[str, Any]]]:
    """Return the surest wrong answers, the least certain ones and drawn right ones, as cards without photos.

    ``heads`` are those of one task and modality. An answer is the less certain the smaller its margin is.
    """
    right = np.concatenate([one.answer == one.truth for one in heads])
    sure = np.concatenate([confidence(one.scores, one.target.loss) for one in heads])
    margin = np.concatenate([margins(one.scores, one.target.loss) for one in heads])
    whose = np.repeat(np.arange(len(heads)), [len(one.rows) for one in heads])
    place = np.concatenate([np.arange(len(one.rows)) for one in heads])
    listing = np.concatenate([one.rows for one in heads])
    wrong = np.lexsort((whose, listing, -sure))
    wrong = wrong[~right[wrong]][:count]
    uncertain = np.setdiff1d(np.lexsort((whose, listing, margin))[: count + len(wrong)], wrong, assume_unique=True)
    uncertain = uncertain[np.lexsort((listing[uncertain], margin[uncertain]))][:count]
    drawn = np.random.default_rng(seed).permutation(np.flatnonzero(right))[:count]
    chosen = {"wrong": wrong, "uncertain": uncertain, "right": np.sort(drawn)}
    return {
        name: [_card(task, heads[whose[one]], rows, int(place[one])) for one in found] for name, found in chosen.items()
    }


def _card(task: Task, scored: ScoredHead, rows: Rows, place: int) -> dict[str, Any]:
    index = int(scored.rows[place])
    answer, truth = scored.in_words(int(scored.answer[place])), task.truth(scored, rows, place)
    level = int(scored.decisions.level[place])
    return {
        "listing_id": rows.listing_ids[index],
        "title": rows.titles[index],
        "about": scored.target.name.partition(":")[2],
        "truth": truth,
        "answer": answer,
        "score": float(confidence(scored.scores[place], scored.target.loss)),
        "auto": bool(scored.auto[place]),
        "level": level,
        "shared": sum(1 for _ in _same_prefix(truth, answer)),
    }


def _same_prefix(one: list[str], other: list[str]) -> Iterable[str]:
    for left, right in zip(one, other, strict=False):
        if left != right:
            return
        yield left


def confusions(task: Task, scored: ScoredHead, rows: Rows, count: int) -> list[dict[str, Any]]:
    """Return the most frequent pairs of true and wrong answer."""
    pairs: Counter[tuple[tuple[str, ...], tuple[str, ...]]] = Counter()
    for place in np.flatnonzero(scored.answer != scored.truth).tolist():
        answer = scored.in_words(int(scored.answer[place]))
        pairs[tuple(task.truth(scored, rows, place)), tuple(answer)] += 1
    ordered = sorted(pairs.items(), key=lambda entry: (-entry[1], entry[0]))[:count]
    return [{"truth": list(truth), "answer": list(answer), "count": number} for (truth, answer), number in ordered]


def confusion_matrix(scored: ScoredHead, mistakes: int) -> tuple[list[list[str]], np.ndarray]:
    """Return the classes that the most frequent mistakes are about, and how often each [K] was answered as each [K].

    Answers and labels outside them are left out; classes are in the order of the head.
    """
    pairs = np.stack([scored.truth, scored.answer], axis=1)[scored.truth >= 0]
    wrong, times = np.unique(pairs[pairs[:, 0] != pairs[:, 1]], axis=0, return_counts=True)
    worst = wrong[np.argsort(-times, kind="stable")[:mistakes]]
    classes = np.unique(worst)
    inside = np.isin(pairs, classes).all(axis=1)
    counts = np.zeros((len(classes), len(classes)), dtype=np.int64)
    np.add.at(counts, tuple(np.searchsorted(classes, pairs[inside]).T), 1)
    return [scored.in_words(int(number)) for number in classes], counts


def product_examples(found: FoundProducts, rows: Rows, count: int, seed: int) -> dict[str, list[dict[str, Any]]]:
    """Return found products with a test listing: mixed ones first by size, and drawn pure ones of several."""
    members: dict[int, list[int]] = {}
    for index, product in zip(found.members.tolist(), found.products.tolist(), strict=True):
        members.setdefault(product, []).append(index)
    several = [inside for inside in members.values() if len(inside) > 1 and (rows.split[inside] == "test").any()]
    mixed = [inside for inside in several if len(set(rows.groups[inside])) > 1]
    pure = [inside for inside in several if len(set(rows.groups[inside])) == 1]
    mixed.sort(key=lambda inside: (-len(inside), inside))
    drawn = sorted(np.random.default_rng(seed).permutation(len(pure))[:count].tolist())
    return {
        "mixed": [_product(inside, rows) for inside in mixed[:count]],
        "pure": [_product(pure[place], rows) for place in drawn],
        "counts": [{"mixed": len(mixed), "pure": len(pure)}],
    }


def _product(inside: list[int], rows: Rows) -> dict[str, Any]:
    groups = dict(zip(dict.fromkeys(rows.groups[inside]), "ABCDEFGHIJKL", strict=False))
    shown = [
        {
            "listing_id": rows.listing_ids[index],
            "title": rows.titles[index],
            "group": groups.get(rows.groups[index], "…"),
        }
        for index in inside[:_SHOWN_MEMBERS]
    ]
    return {"members": shown, "more": len(inside) - len(shown), "groups": len(set(rows.groups[inside]))}


def thumbnails(snapshot: Path, listing_ids: list[str]) -> dict[str, str]:
    """Return small JPEGs in base64 of the listings that have a photo; only their bytes are read."""
    listings = Snapshot(snapshot)
    asked = pa.array(sorted(set(listing_ids)), pa.string())
    wanted = pc.field("listing_id").isin(asked) & pc.field(IMAGE_SHA256).is_valid()
    names: dict[str, list[str]] = {}
    for row in listings.table(["listing_id", IMAGE_SHA256], wanted).to_pylist():
        names.setdefault(row[IMAGE_SHA256], []).append(row["listing_id"])
    small = {digest: _thumbnail(data) for digest, data in listings.photos(names)}
    return {listing_id: small[digest] for digest in small for listing_id in names[digest]}


def _thumbnail(data: bytes) -> str:
    with Image.open(io.BytesIO(data), formats=("JPEG",)) as photo:
        photo.thumbnail((2 * THUMBNAIL_PX, 2 * THUMBNAIL_PX))  # twice the size shown: sharp on fine screens
        buffer = io.BytesIO()
        photo.convert("RGB").save(buffer, "JPEG", quality=72, optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()
