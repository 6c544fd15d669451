"""The training pairs of a snapshot: any row at once, without holding them in memory."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ecclip.errors import PairsError
from ecclip.formats.columns import CATEGORY_KEY, GROUP_ID
from ecclip.formats.shards import Shards
from ecclip.formats.snapshot import STATISTICS

PAIRS = "pairs.arrow"
_COLUMNS = ["listing_id", GROUP_ID, CATEGORY_KEY, "title", "brand", "attributes", "image"]


@dataclass(frozen=True)
class Pair:
    """One listing to learn from; ``image`` is a JPEG."""

    listing_id: str
    title: str
    brand: str | None
    attributes: tuple[tuple[str, str], ...]
    image: bytes


class Pairs(Sequence[Pair]):
    """Random access to the pairs through a memory-mapped Arrow file; only codes of groups and categories are in memory.

    Parquet reads whole row groups but batches pick single rows, so the shards are laid out once as plain Arrow.
    """

    def __init__(self, path: Path) -> None:
        self._source = pa.memory_map(str(path))
        reader = pa.ipc.open_file(self._source)
        self._batches = [reader.get_batch(number) for number in range(reader.num_record_batches)]
        self._starts = np.cumsum([0, *(batch.num_rows for batch in self._batches)])
        self.groups = self._codes(GROUP_ID)
        self.categories = self._codes(CATEGORY_KEY)

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, row: Any) -> Any:
        number = int(np.searchsorted(self._starts, row, side="right")) - 1
        values = self._batches[number].slice(int(row - self._starts[number]), 1).to_pylist()[0]
        return Pair(
            listing_id=values["listing_id"],
            title=values["title"],
            brand=values["brand"],
            attributes=tuple(values["attributes"] or ()),
            image=values["image"],
        )

    def listing_ids(self) -> list[str]:
        """Return the ids of all pairs, in order."""
        return [listing for batch in self._batches for listing in batch.column("listing_id").to_pylist()]

    def close(self) -> None:
        """Release the file."""
        self._batches = []
        self._source.close()

    def _codes(self, column: str) -> np.ndarray:
        """Return int64 [N]: equal values have equal codes, in order of first appearance."""
        values = pa.chunked_array([batch.column(column) for batch in self._batches], pa.string())
        encoded = values.combine_chunks().fill_null("").dictionary_encode()
        return np.asarray(encoded.indices, dtype=np.int64)


def open_pairs(shards: Path, scratch: Path) -> Pairs:
    """Lay the shards of a snapshot out in ``scratch/pairs.arrow`` (as large as the shards) and open them.

    Raises:
        ContractError: the index has a schema that this code does not know.
        IntegrityError: a shard is missing, damaged, or has not the rows that the index says; names the file.
        PairsError: there are no pairs.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    path, temporary = scratch / PAIRS, scratch / f".{PAIRS}.tmp-{os.getpid()}"
    try:
        _lay_out(shards, temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return Pairs(path)


def _lay_out(shards: Path, path: Path) -> None:
    writer = None
    try:
        for batch in Shards(shards).batches(_COLUMNS):
            if writer is None:
                writer = pa.ipc.new_file(str(path), batch.schema)
            writer.write_batch(batch)
        if writer is None:
            raise PairsError(
                "the snapshot has no training pairs: no listing has a photo and a title that belong together",
                value=shards,
                next_step=f"see its {STATISTICS}; an export without photos needs a column image or image_uri "
                "(docs/dump.md): correct it and run the night again, what answers goes on meanwhile",
            )
    finally:
        if writer is not None:
            writer.close()
