"""The dump contract as data: one definition of the fields that a dump may have and of what they mean.

It gives the schema that Spark reads into, the types that schema drift is checked against, the fields that a
mapping.yaml may name and the schema that it writes, the declared rules of the gate and the table in docs/dump.md.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import pyarrow as pa

Kind = Literal["text", "path", "map", "number", "flag", "time", "bytes"]


class KindTypes(NamedTuple):
    """What a kind of field is in each notation; numbers, flags and times may also come as text."""

    words: str
    spark: str
    json: tuple[type, ...]
    mapped: pa.DataType  # as a mapping writes it: numbers and times stay text, so that ingest parses them


class Field(NamedTuple):
    """One field of Dump v1."""

    name: str
    kind: Kind
    required: bool
    description: str
    unique: bool = False
    longest: int = 1000  # characters of a text, of a category's name, of an attribute's value


KINDS: dict[Kind, KindTypes] = {
    "text": KindTypes("string", "string", (str, int), pa.string()),
    "path": KindTypes("list of strings, or one string", "array<string>", (list, str), pa.list_(pa.string())),
    "map": KindTypes("map string → string", "map<string,string>", (dict,), pa.map_(pa.string(), pa.string())),
    "number": KindTypes("number, or its text", "double", (int, float, str), pa.string()),
    "flag": KindTypes("bool, or its text", "boolean", (bool, str, int), pa.bool_()),
    "time": KindTypes("ISO 8601 timestamp", "timestamp", (str,), pa.string()),
    "bytes": KindTypes("bytes", "binary", (), pa.binary()),
}

DUMP_FIELDS = (
    Field("listing_id", "text", True, "identity of the listing; of several rows the newest `updated_at` wins", True),
    Field("seller_id", "text", False, "who offers it"),
    Field("title", "text", True, "what the seller calls it"),
    Field("description", "text", False, "longer text, may hold HTML", longest=1 << 17),
    Field("category", "path", False, "names from root to leaf: a list, or one string with ` > `"),
    Field("attributes", "map", False, "name to value", longest=4000),
    Field("brand", "text", False, "brand name"),
    Field("price", "number", False, "price of one piece, not negative"),
    Field("currency", "text", False, "ISO 4217 code"),
    Field("catalog_id", "text", False, "the shop's own group of listings of one product"),
    Field("age_restricted", "flag", False, "for adults only; unknown where empty"),
    Field("image", "bytes", False, "the photo itself (Parquet only)"),
    Field("image_uri", "text", False, "the photo's path, relative to the dump folder, or its address", longest=8192),
    Field("updated_at", "time", False, "last change"),
    Field("deleted", "flag", False, "the listing is gone"),
)

# in these a mapped dump reports source rows that could not be read: reason, detail, raw text
PROBLEM_COLUMNS = ("_problem", "_detail", "_raw")
QUARANTINE_COLUMNS = ("listing_id", "stage", "reason", "detail", "row")


def listing_columns() -> dict[str, str]:
    """Return the columns of ingested listings with their Spark types: every field but ``deleted``."""
    return {field.name: KINDS[field.kind].spark for field in DUMP_FIELDS if field.name != "deleted"}


def mapped_schema() -> pa.Schema:
    """Return the schema of the Parquet files that a mapping writes; a row has its fields or ``PROBLEM_COLUMNS``."""
    fields = [(field.name, KINDS[field.kind].mapped) for field in DUMP_FIELDS]
    return pa.schema([*fields, *[(name, pa.string()) for name in PROBLEM_COLUMNS]])


def contract_table() -> str:
    """Return the contract as the Markdown table of docs/dump.md."""
    lines = ["| column | type | meaning |", "|---|---|---|"]
    for field in DUMP_FIELDS:
        marks = [word for word, holds in (("required", field.required), ("unique", field.unique)) if holds]
        meaning = "; ".join([", ".join(marks), field.description] if marks else [field.description])
        lines.append(f"| `{field.name}` | {KINDS[field.kind].words} | {meaning} |")
    return "\n".join(lines)
