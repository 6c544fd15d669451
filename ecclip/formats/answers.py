"""Tables of a whole catalog: what a bundle answers to each listing, and which listings are one product.

``answers.parquet`` has one row per listing, as Spark or a BI tool reads it. What could not be answered is in
``quarantine.parquet`` with its reason; ``answers.json`` says which bundle answered.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ecclip.errors import IntegrityError
from ecclip.formats.documents import read_record, write_document

__all__ = [
    "COLUMNS",
    "QUESTION",
    "SCHEMA",
    "AnsweredBy",
    "Grouped",
    "product_ids",
    "read_answers",
    "read_grouped",
    "read_origin",
    "row_of",
    "write_answers",
    "write_grouped",
]

SCHEMA = "ecclip.answers/1"
QUESTION = "question_sha256"  # of all that the listing was asked with
_TABLE, _QUARANTINE, _FILE = "answers.parquet", "quarantine.parquet", "answers.json"
_ROW_GROUP = 65536  # rows; by judgment: some megabytes
_NEXT_STEP = "ecclip release answers"
_SCORED = pa.struct([("name", pa.string()), ("value", pa.string()), ("score", pa.float32()), ("decision", pa.string())])
_ATTRIBUTE = pa.struct([*_SCORED, ("basis", pa.string())])  # labels, zero_shot or unknown
_AGE_CLASS = pa.struct(
    [
        ("name", pa.string()),
        ("score", pa.float32()),
        ("basis", pa.string()),  # labels, zero_shot or unknown
        ("flagged", pa.bool_()),
        ("decision", pa.string()),
    ]
)
_SUGGESTED = pa.struct([("path", pa.list_(pa.string())), ("id", pa.string()), ("score", pa.float32())])
COLUMNS = pa.schema(
    [
        pa.field("listing_id", pa.string(), nullable=False),
        ("category", pa.list_(pa.string())),  # path, root to leaf
        ("category_score", pa.float32()),
        ("category_decision", pa.string()),
        ("category_id", pa.string()),  # of the shop's taxonomy; null without one
        ("category_suggested", pa.list_(_SUGGESTED)),  # without examples, zero-shot: for review; empty: none
        ("attributes", pa.list_(_ATTRIBUTE)),
        ("age_restricted", pa.bool_()),
        ("age_restricted_score", pa.float32()),
        ("age_restricted_decision", pa.string()),
        ("age_classes", pa.list_(_AGE_CLASS)),
        ("other_tasks", pa.list_(_SCORED)),
        ("product_id", pa.string()),
        pa.field("lineage_id", pa.string(), nullable=False),
        pa.field(QUESTION, pa.string(), nullable=False),
    ]
)
_REASONS = pa.schema([(name, pa.string()) for name in ("listing_id", "reason", "error", QUESTION)])
_PRODUCTS, _MATCHES = "products.parquet", "matches.parquet"
_PRODUCT_COLUMNS = pa.schema(
    [("listing_id", pa.string()), ("product_id", pa.string()), ("score", pa.float32()), ("compared", pa.string())]
)
_MATCH_COLUMNS = pa.schema([("left", pa.string()), ("right", pa.string()), ("score", pa.float32())])
_RULES = "rules"  # by which the matches were found: metadata of their file


@dataclass(frozen=True)
class AnsweredBy:
    """The digest of the bundle that answered, and its lineage id."""

    bundle: str
    lineage_id: str


@dataclass(frozen=True)
class Grouped:
    """The products of a night, and what the next one needs to compare only what has changed.

    Attributes:
        products: product of every listing, in order of listing ids.
        compared: digest of what each listing was compared by, likewise; None where that is unknown.
        left: listings of the matches [M].
        right: listings that they match [M].
        scores: probability of each match, float32 [M].
        rules: digest of the code and the parameters that found the matches.
    """

    products: dict[str, str]
    compared: dict[str, str]
    left: list[str]
    right: list[str]
    scores: np.ndarray
    rules: str

    @classmethod
    def nothing(cls) -> Grouped:
        """Return the products of no night."""
        return cls({}, {}, [], [], np.zeros(0, np.float32), "")


def row_of(listing_id: str, question: str, outputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row without its product from the service's outputs by name; unknown is null."""
    decisions = outputs["DECISION"]
    first = next(zip(outputs["CATEGORY"], outputs["CATEGORY_SCORE"], strict=True), (None, None))
    return {
        "listing_id": listing_id,
        "category": first[0],
        "category_score": first[1],
        "category_decision": decisions.get("category"),
        "category_id": next(iter(outputs.get("CATEGORY_ID") or ()), None),
        "category_suggested": [
            {name: one[name] for name in ("path", "id", "score")} for one in outputs.get("CATEGORY_SUGGESTED") or ()
        ],
        "attributes": _attributes(outputs["ATTRIBUTES"], decisions),
        "age_restricted": (outputs.get("AGE_RESTRICTED") or {}).get("restricted"),
        "age_restricted_score": outputs["AGE_RESTRICTED_SCORE"],
        "age_restricted_decision": decisions.get("age_restricted"),
        "age_classes": _age_classes(outputs, decisions),
        "other_tasks": _scored(outputs.get("OTHER_TASKS") or {}, decisions, ""),
        "product_id": None,
        "lineage_id": outputs["LINEAGE"],
        QUESTION: question,
    }


def write_answers(answers: pa.Table, refused: Iterable[Mapping[str, Any]], by: AnsweredBy, folder: Path) -> None:
    """Write answers, and refused listings with their reasons, sorted by listing id; equal answers give equal bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    tables = {_TABLE: answers, _QUARANTINE: pa.Table.from_pylist(list(refused), schema=_REASONS)}
    for name, table in tables.items():
        pq.write_table(table.sort_by("listing_id"), folder / name, row_group_size=_ROW_GROUP, compression="zstd")
    write_document(folder / _FILE, SCHEMA, asdict(by))


def read_origin(folder: Path) -> AnsweredBy:
    """Return who answered.

    Raises:
        ContractError: the answers have a schema that this code does not know.
        IntegrityError: the record is missing or incomplete; names file and field.
    """
    return read_record(AnsweredBy, folder / _FILE, SCHEMA, _NEXT_STEP)


def read_answers(folder: Path) -> tuple[pa.Table, pa.Table]:
    """Return the answers; and the listings without one, with reason and error.

    Raises:
        ContractError: they have a schema that this code does not know.
        IntegrityError: a file is missing or cannot be read; names it.
    """
    read_origin(folder)
    return _read(folder / _TABLE, COLUMNS), _read(folder / _QUARANTINE, _REASONS)


def write_grouped(grouped: Grouped, scores: np.ndarray, folder: Path) -> None:
    """Write which product each listing is, its best match inside that product (``scores`` [N], NaN without one), and
    the matches; equal ones give equal bytes.
    """
    best = pa.array(scores, pa.float32(), mask=np.isnan(scores))
    listings = [[*grouped.products], [*grouped.products.values()], best, [*grouped.compared.values()]]
    pq.write_table(pa.table(listings, schema=_PRODUCT_COLUMNS), folder / _PRODUCTS)
    schema = _MATCH_COLUMNS.with_metadata({_RULES: grouped.rules})
    matches = [grouped.left, grouped.right, pa.array(grouped.scores, pa.float32())]
    pq.write_table(pa.table(matches, schema=schema), folder / _MATCHES)


def read_grouped(folder: Path) -> Grouped:
    """Return what :func:`write_grouped` wrote; nothing where the folder holds no products.

    Products of an earlier version keep their names: what they were compared by is unknown.

    Raises:
        IntegrityError: a file cannot be read; names it.
    """
    if not (folder / _PRODUCTS).is_file():
        return Grouped.nothing()
    listings, matches = _read(folder / _PRODUCTS, _PRODUCT_COLUMNS), _read(folder / _MATCHES, _MATCH_COLUMNS)
    written = pq.read_schema(folder / _MATCHES).metadata or {}
    ids, products, _, compared = (column.to_pylist() for column in listings.columns)
    return Grouped(
        products=dict(zip(ids, products, strict=True)),
        compared=dict(zip(ids, compared, strict=True)),
        left=matches["left"].to_pylist(),
        right=matches["right"].to_pylist(),
        scores=np.asarray(matches["score"], dtype=np.float32),
        rules=written.get(_RULES.encode(), b"").decode(),
    )


def product_ids(folder: Path, listings: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return the product of each listing; null where the folder does not know it, or holds no products.

    Raises:
        IntegrityError: the products cannot be read; names the file.
    """
    path = folder / _PRODUCTS
    known = _read(path, _PRODUCT_COLUMNS) if path.is_file() else _PRODUCT_COLUMNS.empty_table()
    return known["product_id"].take(pc.index_in(listings, value_set=known["listing_id"].combine_chunks()))


def _read(path: Path, schema: pa.Schema) -> pa.Table:
    try:
        return pq.read_table(path, schema=schema)
    except (OSError, pa.ArrowException) as error:
        raise IntegrityError("a table of the catalog cannot be read", value=path, next_step=_NEXT_STEP) from error


def _attributes(found: Mapping[str, Any], decisions: Mapping[str, str]) -> list[dict[str, Any]]:
    return [
        one | {"basis": "zero_shot" if found[one["name"]].get("zero_shot") else _basis(one["score"])}
        for one in _scored(found, decisions, "attribute:")
    ]


def _basis(score: float | None) -> str:
    return "unknown" if score is None else "labels"


def _age_classes(outputs: Mapping[str, Any], decisions: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the classes of the policy; a bundle of an earlier version does not say what they rest on."""
    names, found = outputs.get("AGE_CLASS") or [], outputs.get("AGE_RESTRICTED") or {}
    scores, bases = outputs.get("AGE_CLASS_SCORE") or [], outputs.get("AGE_CLASS_BASIS") or [None] * len(names)
    flagged = {*found.get("classes", ()), *found.get("suspected", ())}
    return [
        {
            "name": name,
            "score": score,
            "basis": basis,
            "flagged": name in flagged if found else None,
            "decision": decisions.get(name if name == "age_restricted" else f"age:{name}"),
        }
        for name, score, basis in zip(names, scores, bases, strict=True)
    ]


def _scored(found: Mapping[str, Any], decisions: Mapping[str, str], prefix: str) -> list[dict[str, Any]]:
    """Return values with scores and decisions by name; a value that is not one text is shown as its levels."""
    return [
        {
            "name": name,
            "value": _text(one["value"]),
            "score": one["score"],
            "decision": decisions.get(f"{prefix}{name}"),
        }
        for name, one in sorted(found.items())
    ]


def _text(value: Any) -> str | None:
    return " > ".join(map(str, value)) if isinstance(value, list | tuple) else None if value is None else str(value)
