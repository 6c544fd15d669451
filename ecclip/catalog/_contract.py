"""The dump contract as data: one definition of the fields that a dump may have and of what they mean."""

from __future__ import annotations

from typing import Literal, NamedTuple

Kind = Literal["text", "path", "map", "number", "flag", "time", "bytes"]


class Field(NamedTuple):
    """One field of Dump v1."""

    name: str
    kind: Kind
    required: bool
    description: str


DUMP_FIELDS = (
    Field("listing_id", "text", True, "identity of the listing, unique in a dump"),
    Field("seller_id", "text", False, "who offers it"),
    Field("title", "text", True, "what the seller calls it"),
    Field("description", "text", False, "longer text"),
    Field("category", "path", False, "names from root to leaf: a list, or one string with ' > '"),
    Field("attributes", "map", False, "name to value"),
    Field("brand", "text", False, "brand name"),
    Field("price", "number", False, "price of one piece, not negative"),
    Field("currency", "text", False, "ISO 4217 code"),
    Field("catalog_id", "text", False, "the shop's own group of listings of one product"),
    Field("age_restricted", "flag", False, "for adults only"),
    Field("image", "bytes", False, "the photo itself (Parquet only)"),
    Field("image_uri", "text", False, "the photo's path, relative to the dump folder"),
    Field("updated_at", "time", False, "last change, ISO 8601"),
    Field("deleted", "flag", False, "the listing is gone"),
)

# JSON value types (as Python types) that a field may have; numbers and flags may come as text
JSON_TYPES: dict[Kind, tuple[type, ...]] = {
    "text": (str,),
    "path": (list, str),
    "map": (dict,),
    "number": (int, float, str),
    "flag": (bool, str),
    "time": (str,),
    "bytes": (),
}

QUARANTINE_COLUMNS = ("listing_id", "stage", "reason", "detail", "row")
