"""The form of a mapping.yaml; an unknown name or a half-said field is an error that names it."""

from __future__ import annotations

from string import Formatter
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model, model_validator

from ecclip.catalog._contract import DUMP_FIELDS

Format = Literal["csv", "jsonl", "parquet"]


class _Declared(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TableFiles(_Declared):
    """Files of one table."""

    format: Format
    files: list[str] = Field(min_length=1, description="names or patterns below the source; .gz is unpacked")
    delimiter: str = Field(",", min_length=1, max_length=1, description="of CSV")
    encoding: str = Field("utf-8", description="of CSV and JSONL")


class Join(TableFiles):
    """A second table whose columns are added by key; the first row of a key wins."""

    left: str = Field(description="column of the source table")
    right: str = Field(description="column of this table")
    columns: list[str] = Field(min_length=1, description="columns to add")


class Value(_Declared):
    """Where one value comes from (exactly one of the first four) and what is done to it, in this order."""

    column: str | None = Field(None, description="a source column; a dot goes into an object: image.bytes")
    columns: list[str] | None = Field(None, description="several columns, as a list of values")
    constant: str | bool | None = Field(None, description="the same for every row")
    template: str | None = Field(None, description="text with {column} in it; null when a column is null")
    parse: Literal["json", "ruby_hash"] | None = Field(None, description="the text is a list or a map in this notation")
    strip: str = Field("", description="characters to take off both ends of the text, besides spaces")
    split: str | None = Field(None, description="separator that makes a list of the text")
    drop_last: int = Field(0, ge=0, description="how many elements to drop at the end of a list")
    drop_last_like: str | None = Field(
        None, description="a column: drop last elements that begin with its first word, but never the first element"
    )
    lower: bool = Field(False, description="in lower case")
    number: bool = Field(False, description="take the number out of a text such as 'Rs. 1,299'")
    read: bool = Field(False, description="the text is the path of a file below the source, or a URL: take its bytes")
    read_from: list[str] = Field([], description="prefixes of URLs that may be read; paths below the source always may")

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        return {"column": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _says_one_origin(self) -> Value:
        given = [name for name in ("column", "columns", "constant", "template") if getattr(self, name) is not None]
        if len(given) != 1:
            said = ", ".join(given) or "none"
            raise ValueError(f"give exactly one of column, columns, constant, template (given: {said})")
        return self

    def source_columns(self) -> list[str]:
        """Return the source columns that the value needs."""
        named = [name for _, name, _, _ in Formatter().parse(self.template or "") if name]
        single = [name for name in (self.column, self.drop_last_like) if name]
        return [*single, *(self.columns or []), *named]


class Attributes(_Declared):
    """Attributes by name: each from a column, or out of one column that holds a map."""

    columns: dict[str, Value] = {}
    map: Value | None = Field(None, description="a column that holds a map, or a list of key and value")
    keep: dict[str, str] | None = Field(
        None, description="names in the map (any case) to attribute names, the first of several wins; without it all"
    )
    lower: bool = Field(False, description="values in lower case")


class Words(_Declared):
    """True where one of the words occurs, as a whole word in any case, else false."""

    words: list[str] = Field(min_length=1)
    fields: list[Literal["category", "title", "description"]] = Field(["category"], min_length=1)


class _WithPhoto(_Declared):
    image: Value | None = None


# attributes and age_restricted have sections of their own
_OWN_SECTION = ("attributes", "age_restricted")
_FIELDS: dict[str, Any] = {
    field.name: (Value, ...) if field.required else (Value | None, None)
    for field in DUMP_FIELDS
    if field.name not in _OWN_SECTION
}
Fields = create_model("Fields", __base__=_WithPhoto, __doc__="The fields of the dump contract.", **_FIELDS)


class Mapping(_Declared):
    """A whole mapping.yaml."""

    schema_name: Literal["ecclip.mapping/1"] = Field("ecclip.mapping/1", alias="schema")
    source: TableFiles
    join: list[Join] = []
    columns: Fields
    attributes: Attributes = Attributes()
    age_restricted: Value | Words | None = None
    null_values: list[str] = Field([""], description="texts that stand for nothing")

    def values(self) -> dict[str, Value]:
        """Return every declared value by the name that a message gives it."""
        found = {f"columns.{name}": getattr(self.columns, name) for name in Fields.model_fields}
        found |= {f"attributes.columns.{name}": value for name, value in self.attributes.columns.items()}
        found["attributes.map"] = self.attributes.map
        if isinstance(self.age_restricted, Value):
            found["age_restricted"] = self.age_restricted
        return {name: value for name, value in found.items() if value is not None}
