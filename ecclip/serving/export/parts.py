"""Whether the parts of a bundle belong together: towers, heads, report and the snapshot that they were made from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ecclip.atomic import MANIFEST
from ecclip.client import Product
from ecclip.core import ContractError, digest_of, verify_folder
from ecclip.formats.bundle import TOWERS, Bundle
from ecclip.formats.columns import IMAGE_SHA256
from ecclip.formats.snapshot import Snapshot
from ecclip.serving.export.inprocess import InProcess

_SAMPLED = 4  # listings that are embedded again to check the parts; by judgment
_MIN_COSINE = 0.99  # by judgment: other devices round differently, other towers are far away


def check_parts(snapshot: Path, trained: Path, evaluated: Path) -> dict[str, str]:
    """Return the digests of the parts after checking that each was made from the others.

    Raises:
        ContractError: a part was made from something else; names both digests.
        IntegrityError: a file of a part is not what its manifest says.
    """
    for part in (trained, evaluated):
        if (part / MANIFEST).is_file():
            verify_folder(part)
    heads, report = Bundle(evaluated).described_heads(), Bundle(evaluated).report()
    claimed = report.lineage
    towers, data = digest_of(trained / TOWERS), digest_of(snapshot)
    _same("the heads were trained on embeddings of other towers", heads.get("towers"), towers)
    _same("the report is about other towers", claimed.get("towers"), towers)
    _same("the report is about another snapshot", claimed.get("snapshot"), data)
    _same("the embeddings come from another training", claimed.get("trained"), digest_of(trained))
    return {
        "snapshot": data,
        "train": digest_of(trained),
        "towers": towers,
        "embed": str(claimed.get("embedded")),
        "evaluate": digest_of(evaluated),
    }


def check_embeddings(snapshot: Path, evidence: dict[str, np.ndarray], twin: InProcess) -> None:
    """Embed a few test listings again: a digest can be copied, an embedding cannot.

    Raises:
        ContractError: the embeddings differ from those that the report is based on.
    """
    ids = evidence["listing_ids"].tolist()[:_SAMPLED]
    listings = Snapshot(snapshot)
    found = listings.table(
        ["listing_id", "title", IMAGE_SHA256], pc.field("listing_id").isin(pa.array(ids, pa.string()))
    ).to_pylist()
    photos = dict(listings.photos({row[IMAGE_SHA256] for row in found if row[IMAGE_SHA256]}))
    by_id = {row["listing_id"]: row for row in found}
    for place, listing_id in enumerate(ids):
        row = by_id.get(listing_id)
        if row is None:
            raise ContractError(
                "the report is about a listing that the snapshot has not",
                value=listing_id,
                next_step="run evaluate again for this snapshot",
            )
        kept = {"image": evidence["image"][place], "text": evidence["text"][place]}
        photo = None if np.isnan(kept["image"]).any() else photos[row[IMAGE_SHA256]]
        own = dict(zip(kept, twin.inputs(Product(image=photo, title=row["title"] or "")), strict=True))
        for name, vector in own.items():
            cosine = 1.0 if vector is None else _min_cosine(vector[0], kept[name], twin.heads.dim)
            if not cosine >= _MIN_COSINE:
                raise ContractError(
                    f"the towers embed a listing otherwise than the report counts with: {name} of {listing_id}",
                    value=f"cosine {cosine:.4f}",
                    limit=_MIN_COSINE,
                    next_step="run embed and evaluate again with these towers",
                )


def _min_cosine(one: np.ndarray, other: np.ndarray, dim: int) -> float:
    """Return the cosine of two embeddings [d], or that of the features after them if it is smaller."""
    if one.shape != other.shape:
        return -1.0
    parts = [slice(0, dim)] if len(one) == dim else [slice(0, dim), slice(dim, None)]
    return min(float(one[part] @ other[part]) for part in parts)


def _same(what: str, found: object, expected: str) -> None:
    if found != expected:
        raise ContractError(
            what, value=found or "no digest", limit=expected, next_step="run embed, evaluate and export of this night"
        )
