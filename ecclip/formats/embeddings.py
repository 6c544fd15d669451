"""Embeddings of a snapshot on disk: what training writes and the tasks read, without torch."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ecclip.core import canonical_json, write_atomic

__all__ = [
    "Embeddings",
    "EmbeddingsError",
    "Origin",
    "load_embeddings",
    "read_origin",
    "write_embeddings",
    "write_origin",
]

_PART = "part-00000.parquet"
_ORIGIN = "lineage.json"
_ROW_GROUP = 4096


class EmbeddingsError(ValueError):
    """A folder does not hold embeddings."""


@dataclass(frozen=True)
class Embeddings:
    """Embeddings by listing, sorted by id: ``image`` and ``text`` float32 [N, d]; no photo is a row of NaN.

    ``image_features`` and ``text_features``, float32 [N, width] of length 1, are the towers' own where they were kept.
    """

    listing_ids: list[str]
    image: np.ndarray
    text: np.ndarray
    image_features: np.ndarray | None = None
    text_features: np.ndarray | None = None


@dataclass(frozen=True)
class Origin:
    """The digests of what embeddings were made from: the snapshot, the training, and its towers."""

    snapshot: str
    trained: str
    towers: str


def write_origin(origin: Origin, folder: Path) -> None:
    """Write beside the embeddings what they were made from."""
    write_atomic(folder / _ORIGIN, canonical_json(asdict(origin)))


def read_origin(folder: Path) -> Origin:
    """Return what the embeddings of a folder were made from.

    Raises:
        EmbeddingsError: the folder does not say it; names the folder.
    """
    try:
        return Origin(**json.loads((folder / _ORIGIN).read_bytes()))
    except (OSError, ValueError, TypeError) as error:
        raise EmbeddingsError(
            f"embeddings do not say what they were made from; value: {folder}; next: run the stage embed"
        ) from error


def write_embeddings(embeddings: Embeddings, folder: Path) -> None:
    """Write one Parquet part, sorted by listing id; equal embeddings give equal bytes."""
    order = sorted(range(len(embeddings.listing_ids)), key=embeddings.listing_ids.__getitem__)
    missing = np.isnan(embeddings.image[order]).any(axis=1)
    columns = {
        "listing_id": pa.array([embeddings.listing_ids[row] for row in order], pa.string()),
        "image_embedding": _vectors(embeddings.image[order], missing),
        "text_embedding": _vectors(embeddings.text[order], np.zeros(len(order), dtype=bool)),
    }
    if embeddings.image_features is not None and embeddings.text_features is not None:
        columns["image_features"] = _vectors(embeddings.image_features[order], missing)
        columns["text_features"] = _vectors(embeddings.text_features[order], np.zeros(len(order), dtype=bool))
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), folder / _PART, row_group_size=_ROW_GROUP, compression="zstd")


def load_embeddings(folder: Path) -> Embeddings:
    """Return the embeddings of a folder that the embed stage wrote.

    Raises:
        EmbeddingsError: there is no part; names the folder.
    """
    parts = sorted(folder.glob("part-*.parquet"))
    if not parts:
        raise EmbeddingsError(f"a folder has no embeddings; value: {folder}; next: run the stage embed")
    table = pa.concat_tables([pq.read_table(part) for part in parts]).combine_chunks()
    text = _matrix(table.column("text_embedding"), 0)
    image = _matrix(table.column("image_embedding"), text.shape[1])
    if "image_features" not in table.column_names:
        return Embeddings(table.column("listing_id").to_pylist(), image, text)
    features = [_matrix(table.column(name), 0) for name in ("image_features", "text_features")]
    return Embeddings(table.column("listing_id").to_pylist(), image, text, *features)


def _vectors(matrix: np.ndarray, missing: np.ndarray) -> pa.Array:
    # Lists of variable size: pyarrow writes nulls in lists of fixed size but cannot read them back.
    offsets = np.concatenate([[0], np.cumsum(np.where(missing, 0, matrix.shape[1]))])
    values = pa.array(np.ascontiguousarray(matrix[~missing], dtype=np.float32).ravel())
    return pa.LargeListArray.from_arrays(pa.array(offsets, pa.int64()), values, mask=pa.array(missing))


def _matrix(column: pa.ChunkedArray, width: int) -> np.ndarray:
    """Return float32 [N, d], rows of NaN for nulls; ``width`` is d where every row is null."""
    valid = np.asarray(column.is_valid())
    values = np.concatenate([np.asarray(chunk.flatten(), dtype=np.float32) for chunk in column.chunks])
    width = len(values) // int(valid.sum()) if valid.any() else width
    matrix = np.full((len(valid), width), np.nan, dtype=np.float32)
    matrix[valid] = values.reshape(-1, width)
    return matrix
