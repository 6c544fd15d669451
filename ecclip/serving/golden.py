"""Golden listings: questions with known answers that a bundle carries, and the comparison with a server's answers."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from ecclip.client.types import Answer, Product
from ecclip.core import ContractError
from ecclip.serving.export.inprocess import InProcess

FILE = "golden/golden.parquet"
LOGIT_NOISE = 1e-3  # a golden answer may not hang on less than this
_SCHEMA = pa.schema(
    [
        pa.field("listing_id", pa.string()),
        pa.field("kind", pa.string()),
        pa.field("image", pa.binary()),
        pa.field("title", pa.string()),
        pa.field("categories", pa.list_(pa.list_(pa.string()))),
        pa.field("category_scores", pa.list_(pa.float64())),
        pa.field("attributes", pa.string()),
        pa.field("age_restricted", pa.float64()),
        pa.field("decisions", pa.string()),
        pa.field("embedding", pa.list_(pa.float32())),
        pa.field("error", pa.string()),
    ]
)


@dataclass(frozen=True)
class Golden:
    """One question and its known answer; ``kind`` is both, image, title or broken."""

    listing_id: str
    kind: str
    product: Product
    answer: Answer


def choose(snapshot: Path, twin: InProcess, count: int) -> list[Golden]:
    """Return ``count`` golden listings of the test split (validation or train where it is empty), fewer if short.

    The choice is a pure function of the listing ids. Listings whose answer hangs on the last digits are passed over.
    """
    chosen: list[Golden] = []
    for row in _candidates(snapshot, 4 * count):
        if len(chosen) == count - 1:
            break
        kind = ("both", "image", "title")[len(chosen) % 3] if row["image"] else "title"
        product = Product(
            image=row["image"] if kind != "title" else None, title=row["title"] if kind != "image" else None
        )
        if _is_clear(twin, product):
            chosen.append(Golden(row["listing_id"], kind, product, twin.ask(product)))
    if not chosen:
        raise ContractError("no listing of the snapshot can serve as a golden one", value=snapshot)
    photo = next((one.product.image for one in chosen if one.product.image), b"no picture at all" * 9)
    broken = Product(image=photo[: len(photo) // 3], title=chosen[0].product.title)
    return [*chosen, Golden("broken", "broken", broken, twin.ask(broken))]


def write_golden(golden: list[Golden], path: Path) -> None:
    """Write golden listings as Parquet."""
    rows = []
    for one in golden:
        row = vars(one.answer) | {"listing_id": one.listing_id, "kind": one.kind} | vars(one.product)
        row["attributes"] = json.dumps(one.answer.attributes, sort_keys=True, ensure_ascii=False)
        row["decisions"] = json.dumps(one.answer.decisions, sort_keys=True)
        row["categories"] = [list(category) for category in one.answer.categories]
        row["embedding"] = one.answer.embedding.tolist()
        rows.append({name: row[name] for name in _SCHEMA.names})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=_SCHEMA), path)


def read_golden(path: Path) -> list[Golden]:
    """Return what :func:`write_golden` wrote."""
    golden = []
    for row in pq.read_table(path).to_pylist():
        answer = Answer(
            categories=[tuple(category) for category in row["categories"]],
            category_scores=row["category_scores"],
            attributes=json.loads(row["attributes"]),
            age_restricted=row["age_restricted"],
            decisions=json.loads(row["decisions"]),
            embedding=np.array(row["embedding"], np.float32),
            error=row["error"],
        )
        golden.append(Golden(row["listing_id"], row["kind"], Product(row["image"], row["title"]), answer))
    return golden


def differences(golden: Golden, found: Answer, tolerance: float, score_tolerance: float) -> tuple[list[str], float]:
    """Return what is wrong with an answer (nothing: empty) and the largest difference of the embedding."""
    expected = golden.answer
    wrong = []
    if found.error != expected.error:
        wrong.append(f"error {found.error!r} instead of {expected.error!r}")
    if expected.error or found.error:
        return [f"{golden.listing_id} ({golden.kind}): {one}" for one in wrong], 0.0
    if found.categories[:1] != expected.categories[:1]:
        wrong.append(f"category {found.categories[:1]} instead of {expected.categories[:1]}")
    values = {name: one["value"] for name, one in found.attributes.items()}
    if values != {name: one["value"] for name, one in expected.attributes.items()}:
        wrong.append(f"attributes {values}")
    if found.decisions != expected.decisions:
        wrong.append(f"decisions {found.decisions}")
    if not _score_difference(found, expected) <= score_tolerance:
        wrong.append(f"scores differ by {_score_difference(found, expected):.3g} (limit {score_tolerance})")
    same_shape = found.embedding.shape == expected.embedding.shape
    difference = float(np.abs(found.embedding - expected.embedding).max()) if same_shape else float("inf")
    if not difference <= tolerance:
        wrong.append(f"the embedding differs by {difference:.3g} (limit {tolerance})")
    return [f"{golden.listing_id} ({golden.kind}): {one}" for one in wrong], difference


def _score_difference(found: Answer, expected: Answer) -> float:
    pairs: list[tuple[float | None, float | None]] = [(found.age_restricted, expected.age_restricted)]
    pairs += zip(found.category_scores[:1], expected.category_scores[:1], strict=False)
    pairs += [
        (found.attributes[name]["score"], expected.attributes[name]["score"])
        for name in expected.attributes
        if name in found.attributes
    ]
    return max(_apart(left, right) for left, right in pairs)


def _apart(left: float | None, right: float | None) -> float:
    """Return the difference of two scores; unknown is equal to unknown and to nothing else."""
    if left is None or right is None:
        return 0.0 if left is right else float("inf")
    difference = abs(left - right)
    return float("inf") if np.isnan(difference) else difference


def _is_clear(twin: InProcess, product: Product) -> bool:
    logits, modality = twin.logits(*twin.embeddings(product))
    signs = np.where(np.arange(len(logits)) % 2, 1.0, -1.0)

    def labels(noise: np.ndarray | float) -> tuple[object, ...]:
        answer = twin.decider.answer(logits + noise, modality)
        values = {name: one["value"] for name, one in answer.attributes.items()}
        return answer.categories[:1], values, answer.decisions

    plain = labels(0.0)
    return all(labels(noise * LOGIT_NOISE) == plain for noise in (signs, -signs, 1.0, -1.0))


def _candidates(snapshot: Path, count: int) -> list[dict[str, Any]]:
    listings = ds.dataset(sorted(str(path) for path in (snapshot / "listings").glob("*.parquet")), format="parquet")
    keys = listings.to_table(columns={"listing_id": ds.field("listing_id"), "split": ds.field("split")})
    ids, splits = (keys.column(name).to_pylist() for name in ("listing_id", "split"))
    for split in ("test", "validation", "train"):
        known = [one for one, where in zip(ids, splits, strict=True) if where == split]
        if known:
            known.sort(key=lambda one: hashlib.sha256(one.encode()).hexdigest())
            chosen = known[:count]
            wanted = ds.field("listing_id").isin(chosen)
            rows = listings.to_table(columns=["listing_id", "title", "image"], filter=wanted).to_pylist()
            return sorted(rows, key=lambda row: chosen.index(row["listing_id"]))
    return []
