"""How a task does on parts of the test listings: by root category, script, seller, sharpness of the photo, and age."""

from __future__ import annotations

import io
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from ecclip.formats.columns import IMAGE_SHA256
from ecclip.formats.sampling import smallest_hashes
from ecclip.formats.snapshot import Snapshot
from ecclip.tasks.heads.matrix import MODALITIES
from ecclip.tasks.kinds import Task
from ecclip.tasks.report.classes import ScoredHead
from ecclip.tasks.report.findings import Findings
from ecclip.tasks.rows import Rows

SELLER = "seller_id"
_HANGUL = re.compile("[가-힣ㄱ-ㅎㅏ-ㅣ]")
_MIN_ROWS = 10  # by judgment: below it one listing moves a share by more than ten points
_MOST_SELLERS, _MOST_ROOTS = 6, 12  # the largest ones; by judgment: what a person reads
_MOST_PHOTOS = 2000  # of which the sharpness is measured; by judgment: seconds
_SIDE = 256  # a canonical photo's shorter side at most: equal sizes make sharpness comparable


def report_slices(
    tasks: Sequence[Task], scored: Mapping[str, ScoredHead], rows: Rows, snapshot: Path, findings: Findings
) -> None:
    """Add the share of right answers by part, ``<task>/<modality>/<accuracy>``, where a part has enough answers."""
    parts = page_parts(rows, snapshot)
    for task in tasks:
        for modality in MODALITIES:
            heads = [one for one in scored.values() if (one.target.task, one.modality) == (task.name, modality)]
            found = _shares(heads, parts)
            if found:
                findings.slices[f"{task.name}/{modality}/{task.accuracy}"] = found


def catalog_parts(rows: Rows) -> dict[str, np.ndarray]:
    """Return the listings of each part that bundles are compared on, bool [N] by its name."""
    hangul = np.array([bool(_HANGUL.search(title)) for title in rows.titles], dtype=bool)
    roots = np.array([path[0] if path else "" for path in rows.given.get("category", ())], dtype=str)
    found = {f"root: {name}": roots == name for name in np.unique(roots) if name}
    found |= {"title script: Hangul": hangul, "title script: other": ~hangul}
    return found | _by_change(rows)


def _by_change(rows: Rows) -> dict[str, np.ndarray]:
    """Return the thirds of the listings that were changed first and last: what fine-tuning may forget, and learns."""
    given = rows.given.get("updated_at", ())
    changed = np.array([np.nan if moment is None else moment.timestamp() for moment in given])
    if not np.isfinite(changed).any():
        return {}
    old, new = np.nanquantile(changed, [1 / 3, 2 / 3])
    if old == new:
        return {}
    return {"updated: oldest third": changed <= old, "updated: newest third": changed >= new}


def page_parts(rows: Rows, snapshot: Path) -> dict[str, np.ndarray]:
    """Return the test listings of each part, bool [N] by its name, in the order in which people read them."""
    test = rows.split == "test"
    parts = catalog_parts(rows)
    roots = {name: part & test for name, part in parts.items() if name.startswith("root: ")}
    largest = sorted(roots, key=lambda name: (-roots[name].sum(), name))[:_MOST_ROOTS]
    changed = {name: part & test for name, part in parts.items() if name.startswith("updated: ")}
    return (
        {name: roots[name] for name in sorted(largest)}
        | dict(_by_script(rows, test))
        | dict(_by_seller(rows, test))
        | dict(_by_photo(rows, test, snapshot))
        | changed
    )


def _shares(heads: Sequence[ScoredHead], parts: Mapping[str, np.ndarray]) -> dict[str, dict[str, float]]:
    if not heads:
        return {}
    right = np.concatenate([one.answer == one.truth for one in heads])
    places = np.concatenate([one.rows for one in heads])
    inside = {name: members[places] for name, members in parts.items()}
    return {
        name: {"value": round(float(right[part].mean()), 6), "rows": int(part.sum())}
        for name, part in inside.items()
        if part.sum() >= _MIN_ROWS
    }


def _by_script(rows: Rows, test: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Yield parts by the script of most letters of the title: what of its language can be seen without guessing."""
    script = np.array([_script(title) if used else "" for title, used in zip(rows.titles, test, strict=True)], str)
    for name in sorted({*script[test]} - {""}):
        yield f"title script: {name}", script == name


def _script(title: str) -> str:
    found = Counter(_script_of(letter) for letter in title if letter.isalpha())
    return max(sorted(found), key=found.__getitem__, default="none")


@lru_cache(1 << 14)
def _script_of(letter: str) -> str:
    return unicodedata.name(letter, "other").split()[0].split("-")[0].capitalize()


def _by_seller(rows: Rows, test: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    sellers = np.array([name or "" for name in rows.given.get(SELLER, [""] * len(rows.titles))], dtype=object)
    counts = Counter(name for name in sellers[test].tolist() if name)
    largest = sorted(counts, key=lambda name: (-counts[name], name))[:_MOST_SELLERS]
    if len(counts) < 2:
        return
    for name in sorted(largest):
        yield f"seller: {name}", test & (sellers == name)
    yield "seller: all others", test & (sellers != "") & ~np.isin(sellers.astype(str), largest)


def _by_photo(rows: Rows, test: np.ndarray, snapshot: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the listings without a photo, and the thirds of the photos that are blurred most and least."""
    with_photo = test & rows.has("image")
    yield "photo: none", test & ~with_photo
    chosen = np.flatnonzero(with_photo)
    chosen = chosen[smallest_hashes([str(rows.listing_ids[place]) for place in chosen], _MOST_PHOTOS)]
    known = _sharpness(snapshot, [str(rows.listing_ids[place]) for place in chosen])
    measured = np.full(len(rows.listing_ids), np.nan)
    measured[chosen] = [known.get(str(rows.listing_ids[place]), np.nan) for place in chosen]
    if np.isfinite(measured).any():
        low, high = np.nanquantile(measured, [1 / 3, 2 / 3])
        if low < high:
            yield "photo: blurred third", measured <= low
            yield "photo: sharpest third", measured >= high


def _sharpness(snapshot: Path, listing_ids: list[str]) -> dict[str, float]:
    """Return by listing the variance of the Laplacian of its photo (Pech-Pacheco and others, 2000)."""
    listings = Snapshot(snapshot)
    wanted = pc.field("listing_id").isin(pa.array(listing_ids, pa.string())) & pc.field(IMAGE_SHA256).is_valid()
    digests = {
        row["listing_id"]: row[IMAGE_SHA256] for row in listings.table(["listing_id", IMAGE_SHA256], wanted).to_pylist()
    }
    found = {digest: _laplacian_variance(data) for digest, data in listings.photos(digests.values())}
    return {name: found[digest] for name, digest in digests.items() if digest in found}


def _laplacian_variance(photo: bytes) -> float:
    with Image.open(io.BytesIO(photo), formats=("JPEG",)) as image:
        grey = image.convert("L")
        grey.thumbnail((_SIDE, _SIDE))
        light = np.asarray(grey, dtype=np.float64)
    edges = light[:-2, 1:-1] + light[2:, 1:-1] + light[1:-1, :-2] + light[1:-1, 2:] - 4 * light[1:-1, 1:-1]
    return float(edges.var()) if edges.size else 0.0
