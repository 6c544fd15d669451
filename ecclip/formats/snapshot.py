"""A snapshot: a night's listings after cleaning, their groups, and what people and the next night need to know.

Photos are stored in the listings' own parts, which is private to this file: a photo is requested by the digest that its
listing names, or read along with the listings.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ecclip.atomic import MANIFEST
from ecclip.errors import IntegrityError
from ecclip.formats.columns import IMAGE_SHA256
from ecclip.formats.documents import read_document, read_json_object, read_record, write_document

SCHEMA = "ecclip.snapshot/2"
_OLDER = ("ecclip.snapshot/1",)  # the same files, but recipes that name no schema
LISTINGS = "listings"
GROUPS = "groups"
QUARANTINE = "quarantine"
BOILERPLATE = "boilerplate"
PLACEHOLDERS = "placeholders"
TEXTS = "texts"
SHARDS = "shards"
STATISTICS = "statistics.json"
HISTORY = "history.json"
PHOTO = "image"
_FILE = "snapshot.json"
_RECIPES_SCHEMA, _RECIPES_FILE = "ecclip.recipes/1", "recipes.json"
_NEXT_STEP = "run the stages up to publish for that night again"
_PHOTOS_AT_ONCE = 256  # read at once; bounds the memory


@dataclass(frozen=True)
class Recipes:
    """By what a night was cleaned: a later night takes over what was cleaned by an equal recipe.

    Digests of code, parameters and library versions: of what makes photos, and of what makes texts.
    """

    photo: str
    text: str


def write_recipes(recipes: Recipes, folder: Path) -> None:
    """Write the recipes beside what was made by them."""
    write_document(folder / _RECIPES_FILE, _RECIPES_SCHEMA, asdict(recipes))


def read_recipes(folder: Path) -> Recipes:
    """Return what :func:`write_recipes` wrote.

    Raises:
        ContractError: it has a schema that this code does not know.
        IntegrityError: it cannot be read; names the file and, where it is one, the field.
    """
    next_step = "run clean and the stages after it again for its night"
    return read_record(Recipes, folder / _RECIPES_FILE, _RECIPES_SCHEMA, next_step)


class Listings:
    """Cleaned listings and their photos, in the folder of whichever stage wrote them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def listings(self) -> Path:
        """The folder of the listings' Parquet parts."""
        return self.folder / LISTINGS

    def parts(self) -> list[Path]:
        """Return the listings' Parquet parts in the order of reading."""
        return sorted(self.listings.glob("*.parquet"))

    def batches(self, columns: list[str], *, photos: bool = False, rows: int = 2048) -> Iterator[dict[str, list[Any]]]:
        """Yield columns of the listings, at most ``rows`` of them at a time, in the order of the parts.

        With ``photos`` every row has its photo's bytes, or None, under :data:`PHOTO`.

        Raises:
            IntegrityError: a part cannot be read; names the file.
        """
        wanted = [*columns, PHOTO] if photos else columns
        for path in self.parts():
            try:
                with pq.ParquetFile(path) as file:
                    for batch in file.iter_batches(rows, columns=wanted):
                        yield batch.to_pydict()
            except (OSError, pa.ArrowException) as error:
                raise IntegrityError(
                    "a part of the listings cannot be read", value=path, next_step=_NEXT_STEP
                ) from error

    def table(self, columns: list[str], where: pc.Expression | None = None) -> pa.Table:
        """Return columns of the listings, or of those that match ``where``, in the order of the parts."""
        import pyarrow.dataset as ds  # late: it looks for pandas, which training does without

        return ds.dataset([str(path) for path in self.parts()], format="parquet").to_table(
            columns=columns, filter=where
        )

    def photos(self, digests: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """Yield digest and bytes of the requested photos, each once; missing ones are left out.

        At most a few hundred photos are in memory at a time.
        """
        wanted = set(digests)
        for path in self.parts():
            if not wanted:
                return
            with pq.ParquetFile(path) as file:
                groups = [number for number in range(file.num_row_groups) if _names(file, number, wanted)]
                for batch in file.iter_batches(_PHOTOS_AT_ONCE, groups, [IMAGE_SHA256, PHOTO]):
                    chosen = pc.is_in(batch.column(0), pa.array(sorted(wanted), pa.string()))
                    found = batch.filter(pc.and_(chosen, pc.is_valid(batch.column(1))))
                    for digest, data in dict(
                        zip(*(column.to_pylist() for column in found.columns), strict=True)
                    ).items():
                        wanted.discard(digest)
                        yield digest, data

    def photo_files(self) -> list[Path]:
        """Return Parquet files that hold every photo as digest and bytes (``image_sha256`` and :data:`PHOTO`).

        For a reader that wants most of them, such as Spark. A photo of two listings may come twice, and rows without
        a photo have null.
        """
        return self.parts()

    def photo(self, digest: str) -> bytes:
        """Return the bytes of one photo.

        Raises:
            IntegrityError: there is no photo of this digest.
        """
        for _, data in self.photos([digest]):
            return data
        raise IntegrityError(
            "there is no such photo",
            value=digest,
            limit=self.folder,
            next_step="run clean again for this night: the folder lacks a photo that a listing names",
        )


class Snapshot(Listings):
    """A published night.

    Args:
        folder: of the snapshot.
        unmarked: read it although it does not say its schema, as the first snapshots did not.

    Raises:
        ContractError: it has a schema that this code does not know.
        IntegrityError: the folder holds no snapshot.
    """

    def __init__(self, folder: Path, *, unmarked: bool = False) -> None:
        super().__init__(folder)
        again = f"{_NEXT_STEP}: ecclip run <stage> --night {folder.name}, or trigger nightly_catalog for it"
        self._schema = "" if unmarked else str(read_document(folder / _FILE, SCHEMA, again, _OLDER)["schema"])

    @property
    def groups(self) -> Path:
        """The folder of the evidence that holds groups together: Parquet parts of edges."""
        return self.folder / GROUPS

    @property
    def shards(self) -> Path:
        """The folder of the training shards, see :mod:`ecclip.formats.shards`."""
        return self.folder / SHARDS

    @property
    def placeholders(self) -> Path:
        """The folder of the photos that show no product."""
        return self.folder / PLACEHOLDERS

    @property
    def texts(self) -> Path:
        """The folder of the digests of all texts as they were before cleaning."""
        return self.folder / TEXTS

    def strongest_evidence(self) -> dict[str, float]:
        """Return the weight (0 to 1) of the strongest evidence that joins a listing to another one of its group.

        A listing that is alone in its group is not among them.
        """
        import pyarrow.dataset as ds  # late: it looks for pandas, which training does without

        edges = ds.dataset([str(path) for path in sorted(self.groups.glob("*.parquet"))], format="parquet")
        used = edges.to_table(columns=["left", "right", "weight"], filter=pc.field("mark").is_null())
        ends = pa.concat_tables(
            [used.select([side, "weight"]).rename_columns(["listing", "weight"]) for side in ("left", "right")]
        )
        strongest = ends.group_by("listing").aggregate([("weight", "max")])
        return dict(zip(strongest["listing"].to_pylist(), strongest["weight_max"].to_pylist(), strict=True))

    def edges(self) -> pa.Table:
        """Return ``left, right, evidence`` of the evidence that holds groups together, marked evidence left out."""
        import pyarrow.dataset as ds  # late: it looks for pandas, which training does without

        edges = ds.dataset([str(path) for path in sorted(self.groups.glob("*.parquet"))], format="parquet")
        return edges.to_table(columns=["left", "right", "evidence"], filter=pc.field("mark").is_null())

    def recipes(self) -> Recipes | None:
        """Return the recipes by which it was cleaned, or None for a snapshot from before they named a schema.

        Raises:
            ContractError: they have a schema that this code does not know.
            IntegrityError: they cannot be read.
        """
        return read_recipes(self.folder) if self._schema == SCHEMA else None


def mark_snapshot(folder: Path) -> None:
    """Mark a folder as a snapshot of this schema."""
    write_document(folder / _FILE, SCHEMA, {})


def previous_snapshot(folder: Path) -> Snapshot | None:
    """Return the snapshot of the night before, or None where the folder stands for a missing one.

    A night takes group ids and the history of good nights over from it: those are the same in every schema, also in
    snapshots from before they named one. What was cleaned or compared is taken over from equal code alone.

    Raises:
        ContractError: the snapshot has a schema that this code does not know.
        IntegrityError: its manifest or what says its schema cannot be read.
    """
    if not (folder / MANIFEST).is_file():
        return None
    written = read_json_object(folder / MANIFEST, _NEXT_STEP, "the manifest of a snapshot")
    marked = _FILE in (written.get("files") or ()) or (folder / _FILE).is_file()
    return Snapshot(folder, unmarked=not marked)


def _names(file: pq.ParquetFile, row_group: int, wanted: set[str]) -> bool:
    named = file.read_row_group(row_group, columns=[IMAGE_SHA256]).column(0).to_pylist()
    return not wanted.isdisjoint(named)
