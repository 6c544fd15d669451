"""Golden listings: requests with known answers in a bundle."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ecclip.catalog.land.originals import OriginalPhotos, original_descriptions
from ecclip.client import TEXT_BYTES, Answer, Product
from ecclip.core import ContractError
from ecclip.formats.columns import IMAGE_ERROR, IMAGE_SHA256, SPLIT, TITLE_ORIGINAL
from ecclip.formats.sampling import smallest_hashes
from ecclip.formats.snapshot import Snapshot
from ecclip.serving.comparison import leaves_of
from ecclip.serving.export.inprocess import InProcess

# a golden answer must not flip when logits change by this much: by judgment, ten times `export.tolerances.embedding`
LOGIT_NOISE = 1e-3
_SCHEMA = pa.schema(
    [
        pa.field("listing_id", pa.string()),
        pa.field("kind", pa.string()),
        pa.field("image", pa.binary()),
        pa.field("title", pa.string()),
        pa.field("description", pa.string()),
        pa.field("outputs", pa.string()),
        pa.field("embedding", pa.list_(pa.float32())),
    ]
)


@dataclass(frozen=True)
class Golden:
    """One request and its known answer; ``kind`` is both, image, title or broken."""

    listing_id: str
    kind: str
    product: Product
    answer: Answer


def choose(snapshot: Path, landed: Path, ingested: Path, twin: InProcess, count: int) -> list[Golden]:
    """Return at most ``count`` golden listings of the test split (of validation or train where it is empty).

    They are rows of the dump: title and description as their seller wrote them, the photo's file as the shop sent it.
    The choice is a pure function of the listing ids. Listings whose answer rounding could change are skipped.

    Raises:
        ContractError: no listing can be one.
        IntegrityError: a photo of the snapshot is not among those that landed.
    """
    chosen: list[Golden] = []
    for row in _candidates(snapshot, landed, ingested, 4 * count):
        if len(chosen) == count - 1:
            break
        kind = ("both", "image", "title")[len(chosen) % 3] if row["image"] else "title"
        texts = (None, None) if kind == "image" else (row[TITLE_ORIGINAL], row["description"])
        product = Product(row["image"] if kind != "title" else None, *texts)
        if _is_clear(twin, product):
            chosen.append(Golden(row["listing_id"], kind, product, twin.ask(product)))
    if not chosen:
        raise ContractError(
            "no listing of the snapshot can serve as a golden one",
            value=snapshot,
            next_step="train longer or on more listings: no answer is clear enough to compare",
        )
    photo = next((one.product.image for one in chosen if one.product.image), b"no picture at all" * 9)
    broken = Product(image=photo[: len(photo) // 3], title=chosen[0].product.title)
    return [*chosen, Golden("broken", "broken", broken, twin.ask(broken))]


def write_golden(golden: list[Golden], path: Path) -> None:
    """Write golden listings as Parquet."""
    rows = []
    for one in golden:
        outputs = one.answer.to_outputs()
        embedding = outputs.pop("EMBEDDING").tolist()
        described = {"listing_id": one.listing_id, "kind": one.kind, "embedding": embedding, **vars(one.product)}
        rows.append(described | {"outputs": json.dumps(outputs, sort_keys=True, ensure_ascii=False)})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=_SCHEMA), path)


def read_golden(path: Path) -> list[Golden]:
    """Return what :func:`write_golden` wrote."""
    golden = []
    for row in pq.read_table(path).to_pylist():
        outputs = json.loads(row["outputs"]) | {"EMBEDDING": np.array(row["embedding"], np.float32)}
        product = Product(row["image"], row["title"], row["description"])
        golden.append(Golden(row["listing_id"], row["kind"], product, Answer.from_outputs(outputs)))
    return golden


def _is_clear(twin: InProcess, product: Product) -> bool:
    logits, modality = twin.logits(*twin.inputs(product))
    query = twin.query(product)
    signs = np.where(np.arange(len(logits)) % 2, 1.0, -1.0)

    def labels(noise: np.ndarray | float) -> dict[str, object]:
        leaves = leaves_of(twin.decider.answer(logits + noise, modality, query))
        return {name: leaf for name, leaf in leaves.items() if not isinstance(leaf, float)}

    plain = labels(0.0)
    return all(labels(noise * LOGIT_NOISE) == plain for noise in (signs, -signs, 1.0, -1.0))


def _candidates(snapshot: Path, landed: Path, ingested: Path, count: int) -> list[dict[str, Any]]:
    names = ["listing_id", TITLE_ORIGINAL, IMAGE_SHA256, IMAGE_ERROR]
    for split in ("test", "validation", "train"):
        known = Snapshot(snapshot).table(names, pc.field(SPLIT) == split)
        if known.num_rows:
            chosen = smallest_hashes(known["listing_id"].to_pylist(), count)
            rows = known.take(np.array(chosen, dtype=np.int64)).to_pylist()
            with_photo = {row[IMAGE_SHA256] for row in rows if row[IMAGE_SHA256] and not row[IMAGE_ERROR]}
            photos = OriginalPhotos(landed, ingested).read(with_photo)
            written = original_descriptions(ingested, [row["listing_id"] for row in rows])
            for row in rows:
                text = written.get(row["listing_id"])
                fits = text is not None and len(text.encode()) <= TEXT_BYTES
                row |= {"image": photos.get(row[IMAGE_SHA256]), "description": text if fits else None}
            return rows
    return []
