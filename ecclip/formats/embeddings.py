"""Embeddings of a snapshot and of its labels on disk: what the stage embed writes and the tasks read, without torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ecclip.errors import IntegrityError
from ecclip.formats.documents import read_record, write_document

__all__ = [
    "SCHEMA",
    "Embeddings",
    "Frozen",
    "Origin",
    "Prompts",
    "attribute_prompt",
    "category_prompt",
    "load_backgrounds",
    "load_borders",
    "load_embeddings",
    "load_frozen",
    "load_prompts",
    "read_origin",
    "write_backgrounds",
    "write_borders",
    "write_embeddings",
    "write_frozen",
    "write_origin",
    "write_prompts",
]

SCHEMA = "ecclip.embeddings/1"
_PART = "part-00000.parquet"
_ORIGIN = "lineage.json"
_IMAGE, _TEXT = "image_embedding", "text_embedding"
_FEATURES = ("image_features", "text_features")
_CONTENT = ("image_sha256", "title_sha256")  # of what was embedded, for the night after
_FROZEN, _WEIGHTS = "frozen", "weights"
_PROMPTS, _JOINT = "prompts.parquet", b"joint"
_BORDERS, _BACKGROUNDS = "borders", "backgrounds.parquet"
_WIDTH = "image_features"  # how wide they are, which a night without a photo does not show
_ROW_GROUP = 4096  # rows; by judgment
_NEXT_STEP = "run the stage embed of this night"


@dataclass(frozen=True)
class Embeddings:
    """Embeddings by listing, sorted by id: ``image`` and ``text`` float32 [N, d]; a missing photo is a row of NaN.

    ``image_features`` and ``text_features``, float32 [N, width] of length 1, are the towers' own features, None unless
    they were kept.
    """

    listing_ids: list[str]
    image: np.ndarray
    text: np.ndarray
    image_features: np.ndarray | None = None
    text_features: np.ndarray | None = None


@dataclass(frozen=True)
class Frozen:
    """What a frozen start says of a night's listings, and by which content of which weights it is found again.

    Attributes:
        embeddings: of the listings, with the towers' own features.
        photos: digest of each listing's photo, None without one.
        titles: digest of each listing's title.
        weights: digest of the weights, and of the code that embeds.
    """

    embeddings: Embeddings
    photos: list[str | None]
    titles: list[str]
    weights: str


@dataclass(frozen=True)
class Prompts:
    """Prompts of labels by the frozen start.

    Attributes:
        texts: the prompts.
        embeddings: float32 [P, d] of length 1, in one space with photos where ``joint``.
        features: the text tower's own features, float32 [P, width] of length 1.
        joint: whether the start's towers were trained together, so that a prompt says something about a photo.
    """

    texts: list[str]
    embeddings: np.ndarray
    features: np.ndarray
    joint: bool

    def pooled(self, texts: Sequence[Sequence[str]]) -> tuple[np.ndarray, np.ndarray]:
        """Return the mean of what each of L labels is called, of length 1: float32 [L, d] and [L, width].

        ``texts`` are those of each label; of one without any that is here the means are zeros.
        """
        place = {text: number for number, text in enumerate(self.texts)}
        rows = [[place[text] for text in own if text in place] for own in texts]
        return _means(self.embeddings, rows), _means(self.features, rows)


@dataclass(frozen=True)
class Origin:
    """The digests of what embeddings were made from: the snapshot, the training, and its towers.

    ``start_share`` is how much of their networks' weights is what the training started from, a number as text: of "1"
    the training was not worth keeping.
    """

    snapshot: str
    trained: str
    towers: str
    start_share: str = "0"


def write_origin(origin: Origin, folder: Path) -> None:
    """Write beside the embeddings what they were made from."""
    write_document(folder / _ORIGIN, SCHEMA, asdict(origin))


def read_origin(folder: Path) -> Origin:
    """Return what the embeddings of a folder were made from.

    Raises:
        ContractError: the embeddings have a schema that this code does not know.
        IntegrityError: the record is missing or incomplete; names file and field.
    """
    return read_record(Origin, folder / _ORIGIN, SCHEMA, _NEXT_STEP)


def write_embeddings(embeddings: Embeddings, folder: Path) -> None:
    """Write one Parquet part, sorted by listing id; equal embeddings give equal bytes."""
    _write(embeddings, folder, {})


def write_frozen(frozen: Frozen, folder: Path) -> None:
    """Write beside a night's embeddings those of the frozen start."""
    content: dict[str, list[Any]] = {_CONTENT[0]: frozen.photos, _CONTENT[1]: frozen.titles}
    _write(frozen.embeddings, folder / _FROZEN, content, {_WEIGHTS: frozen.weights})


def load_frozen(folder: Path) -> Frozen | None:
    """Return what :func:`write_frozen` wrote beside a night's embeddings, None where it wrote nothing.

    Raises:
        IntegrityError: they cannot be read; names the file.
    """
    path = folder / _FROZEN / _PART
    if not path.is_file():
        return None
    with _readable(path):
        table = pq.read_table(path, columns=[*_CONTENT])
        weights = (table.schema.metadata or {})[_WEIGHTS.encode()].decode()
        photos, titles = (table.column(name).to_pylist() for name in _CONTENT)
    return Frozen(load_embeddings(path.parent), photos, titles, weights)


def write_borders(borders: Embeddings, folder: Path) -> None:
    """Write beside a night's embeddings those of some test photos of which only the border is left."""
    _write(borders, folder / _BORDERS, {})


def load_borders(folder: Path) -> Embeddings | None:
    """Return what :func:`write_borders` wrote, None where it wrote nothing; texts are zeros.

    Raises:
        IntegrityError: they cannot be read; names the file.
    """
    return load_embeddings(folder / _BORDERS) if (folder / _BORDERS / _PART).is_file() else None


def write_backgrounds(found: Mapping[str, tuple[float, float]], folder: Path) -> None:
    """Write beside a night's embeddings the light of the borders of its photos: mean and deviation by listing."""
    ids = sorted(found)
    light, deviation = zip(*(found[name] for name in ids), strict=True) if ids else ((), ())
    columns = [pa.array(ids, pa.string()), pa.array(light, pa.float32()), pa.array(deviation, pa.float32())]
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns, ["listing_id", "light", "deviation"]), folder / _BACKGROUNDS, compression="zstd")


def load_backgrounds(folder: Path) -> dict[str, tuple[float, float]] | None:
    """Return what :func:`write_backgrounds` wrote, None where it wrote nothing.

    Raises:
        IntegrityError: they cannot be read; names the file.
    """
    path = folder / _BACKGROUNDS
    if not path.is_file():
        return None
    with _readable(path):
        ids, light, deviation = (column.to_pylist() for column in pq.read_table(path).columns)
    return dict(zip(ids, zip(light, deviation, strict=True), strict=True))


def category_prompt(path: Sequence[str]) -> str:
    """Return the prompt of a category: its leaf, as a kind of what stands above it.

    A prompt that names the kind of a thing is understood better than its bare name (CLIP, Radford et al. 2021, section
    3.1.4).
    """
    leaf, *above = reversed(path)
    return f"a photo of {leaf}, a kind of {above[0]}" if above else f"a photo of {leaf}"


def attribute_prompt(name: str, value: str) -> str:
    """Return the prompt of an attribute's value."""
    return f"a photo of a product, {name}: {value}"


def write_prompts(prompts: Prompts, folder: Path, name: str = _PROMPTS) -> None:
    """Write prompts beside a night's embeddings, by default those of the frozen start; equal ones give equal bytes."""
    columns = {
        "text": pa.array(prompts.texts, pa.string()),
        "embedding": pa.array(list(prompts.embeddings), pa.list_(pa.float32())),
        "features": pa.array(list(prompts.features), pa.list_(pa.float32())),
    }
    folder.mkdir(parents=True, exist_ok=True)
    told = {_JOINT: str(prompts.joint).encode()}
    pq.write_table(pa.table(columns).replace_schema_metadata(told), folder / name, compression="zstd")


def load_prompts(folder: Path, name: str = _PROMPTS) -> Prompts | None:
    """Return what :func:`write_prompts` wrote beside a night's embeddings, None where it wrote nothing.

    Raises:
        IntegrityError: they cannot be read; names the file.
    """
    path = folder / name
    if not path.is_file():
        return None
    with _readable(path):
        table = pq.read_table(path)
        vectors = [np.array(table.column(name).to_pylist(), dtype=np.float32) for name in ("embedding", "features")]
        joint = (table.schema.metadata or {})[_JOINT] == b"True"
        return Prompts(table.column("text").to_pylist(), vectors[0], vectors[1], joint)


def _write(
    embeddings: Embeddings, folder: Path, more: Mapping[str, list[Any]], metadata: Mapping[str, str] | None = None
) -> None:
    order = sorted(range(len(embeddings.listing_ids)), key=embeddings.listing_ids.__getitem__)
    missing = np.isnan(embeddings.image[order]).any(axis=1)
    columns = {
        "listing_id": pa.array([embeddings.listing_ids[row] for row in order], pa.string()),
        _IMAGE: _vectors(embeddings.image[order], missing),
        _TEXT: _vectors(embeddings.text[order], np.zeros(len(order), dtype=bool)),
    }
    if embeddings.image_features is not None and embeddings.text_features is not None:
        columns[_FEATURES[0]] = _vectors(embeddings.image_features[order], missing)
        columns[_FEATURES[1]] = _vectors(embeddings.text_features[order], np.zeros(len(order), dtype=bool))
    told = {_WIDTH: str(0 if embeddings.image_features is None else embeddings.image_features.shape[1])}
    columns |= {name: pa.array([values[row] for row in order], pa.string()) for name, values in more.items()}
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(
        pa.table(columns, metadata={**told, **(metadata or {})}),
        folder / _PART,
        row_group_size=_ROW_GROUP,
        compression="zstd",
    )


def load_embeddings(folder: Path) -> Embeddings:
    """Return the embeddings of a folder that the embed stage wrote.

    Raises:
        IntegrityError: they are missing or cannot be read; names the file.
    """
    path = folder / _PART
    with _readable(path):
        table = pq.read_table(path).combine_chunks()
        ids, text = table.column("listing_id").to_pylist(), _matrix(table.column(_TEXT), 0)
        image = _matrix(table.column(_IMAGE), text.shape[1])
        names = [name for name in _FEATURES if name in table.column_names]
        width = int((table.schema.metadata or {}).get(_WIDTH.encode(), b"0"))
        return Embeddings(ids, image, text, *[_matrix(table.column(name), width) for name in names])


def _means(vectors: np.ndarray, rows: Sequence[Sequence[int]]) -> np.ndarray:
    means = np.zeros((len(rows), vectors.shape[1]), dtype=np.float32)
    for number, own in enumerate(rows):
        if own:
            mean = vectors[own].mean(axis=0)
            means[number] = mean / max(float(np.linalg.norm(mean)), 1e-12)
    return means


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, KeyError, pa.ArrowException) as error:
        raise IntegrityError("the embeddings cannot be read", value=path, next_step=_NEXT_STEP) from error


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
    if valid.any():
        matrix[valid] = values.reshape(-1, width)
    return matrix
