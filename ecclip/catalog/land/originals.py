"""Photos as the shop sent them, by the digest of their bytes; read without Spark."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from ecclip.catalog.land.photos import IMAGES, INDEX
from ecclip.core import IntegrityError, sha256_bytes
from ecclip.formats.columns import IMAGE_SHA256
from ecclip.formats.snapshot import LISTINGS

_ROWS_AT_ONCE = 256  # read at once; bounds the memory


def original_photos(landed: Path, ingested: Path, digests: Collection[str]) -> dict[str, bytes]:
    """Return photos by their SHA-256: from the parts that landed, else from the rows that carry a photo themselves.

    All of them are in memory together: ask for a bounded number at once.

    Raises:
        IntegrityError: one of them is in neither folder.
    """
    wanted = set(digests)
    found = _from_parts(landed, wanted)
    if wanted - found.keys():
        found |= _from_rows(ingested, wanted - found.keys())
    missing = sorted(wanted - found.keys())
    if missing:
        raise IntegrityError(
            "a photo of the night is not among those that landed",
            value=f"{missing[0]}, one of {len(missing)}",
            limit=landed,
            next_step="run land and the stages after it again for this night",
        )
    return found


def _from_parts(landed: Path, wanted: set[str]) -> dict[str, bytes]:
    if not (landed / INDEX).is_file():
        return {}
    places = pq.read_table(landed / INDEX, columns=[IMAGE_SHA256, "part"])
    here = places.filter(pc.is_in(places[IMAGE_SHA256], value_set=pa.array(sorted(wanted), pa.string())))
    parts = sorted(set(here["part"].drop_null().to_pylist()))
    if not parts:
        return {}
    photos = ds.dataset([str(landed / IMAGES / part) for part in parts], format="parquet")
    rows = photos.to_table(columns=[IMAGE_SHA256, "image"], filter=ds.field(IMAGE_SHA256).isin(sorted(wanted)))
    return dict(zip(rows[IMAGE_SHA256].to_pylist(), rows["image"].to_pylist(), strict=True))


def _from_rows(ingested: Path, wanted: set[str]) -> dict[str, bytes]:
    rows = ds.dataset(ingested / LISTINGS, format="parquet")
    found = {}
    for batch in rows.to_batches(columns=["image"], filter=ds.field("image").is_valid(), batch_size=_ROWS_AT_ONCE):
        for image in batch.column("image").to_pylist():
            digest = sha256_bytes(image)
            if digest in wanted:
                found[digest] = image
    return found
