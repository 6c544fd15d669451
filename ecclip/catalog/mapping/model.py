"""The schema of a mapping.yaml; an unknown name or an incomplete field is an error that names it."""

from __future__ import annotations

from collections.abc import Iterator
from string import Formatter
from typing import Any, Literal
from zoneinfo import available_timezones

from pydantic import BaseModel, ConfigDict, Field, create_model, field_validator, model_validator

from ecclip.catalog.dump.contract import DUMP_FIELDS
from ecclip.catalog.dump.money import currency_code

# settings of a value that apply to some fields only
_USES = {
    "number": {"columns.price"},
    "currency": {"columns.currency"},
    "time": {"columns.updated_at"},
    "read": {"columns.image"},
    "read_from": {"columns.image"},
    "below": {"columns.image", "columns.image_uri"},
}


class _Declared(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TableFiles(_Declared):
    """Files of one table."""

    format: Literal["csv", "json", "jsonl", "parquet"] = Field(
        description="csv: also tab-separated text; json, jsonl: objects line by line, one array, a list in an object"
    )
    rows: str | None = Field(
        None,
        min_length=1,
        description="of JSON that is one object: the name of the list in it that holds the rows; empty: its only one",
    )
    files: list[str] = Field(min_length=1, description="names or patterns below the source; .gz is unpacked")
    delimiter: str | None = Field(None, min_length=1, max_length=1, description="of CSV; empty: detected")
    encoding: str | None = Field(None, description="of text; empty: by the byte order mark, else UTF-8")
    quote: str | None = Field(
        None, max_length=1, description='of CSV; "": quotes are plain characters; empty: detected'
    )
    escape: str | None = Field(None, max_length=1, description='what stands before a quote within quotes: "\\\\" or ""')
    aliases: dict[str, list[str]] = Field(
        {}, description="other names of a column, the first that is there counts; {n} in a name stands for 1, 2, 3 ..."
    )


class Join(TableFiles):
    """A second table whose columns are added by key; the first row of a key wins."""

    left: str = Field(description="column of the source table")
    right: str = Field(description="column of this table")
    columns: list[str] = Field(min_length=1, description="columns to add")


class Separator(_Declared):
    """What stands between two parts of a text; a plain text is meant literally."""

    text: str = Field(min_length=1, description="the separator")
    escape: str | None = Field(None, min_length=1, max_length=1, description="sign before a separator that is meant")
    not_before: str = Field("", description="it separates only where none of these characters follows: a blank")

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        return {"text": value} if isinstance(value, str) else value


class Pairs(_Declared):
    """Names and values in one text: ``size=S,color=Red``."""

    between: Separator = Field(Separator(text=","), description="what stands between two pairs")
    within: str = Field("=", min_length=1, description="what stands between name and value")
    rest: Literal["keep", "drop"] = Field("keep", description="a further sign within the value: part of it, or its end")


class Number(_Declared):
    """How a number is written: ``1.299,00 €``."""

    decimal: Literal[",", "."] | None = Field(
        None,
        description="sign before the decimals; empty: by the other texts of the column, an error where they differ",
    )
    minor_units: int | Literal["currency"] | None = Field(
        None, description="it counts cents: how many decimals there are, or as many as the row's currency has"
    )


class Time(_Declared):
    """How a time is written, where it is not ISO 8601."""

    format: str = Field(description="as in Python's strptime: %d.%m.%Y %H:%M; or epoch, epoch_ms")
    zone: str = Field("UTC", description="time zone of times without one: Europe/Berlin")

    @field_validator("zone")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in available_timezones():
            raise ValueError(f"there is no time zone {value}")
        return value


class Value(_Declared):
    """Where one value comes from (exactly one of the first five) and what is done to it, in this order."""

    column: str | None = Field(None, description="a source column; a dot goes into an object: image.bytes")
    columns: list[Value] | None = Field(None, description="several values as a list, those that are not empty")
    first_of: list[Value] | None = Field(None, description="the first of several values that is not empty")
    constant: str | bool | None = Field(None, description="the same for every row")
    template: str | None = Field(None, description="text with {column} in it; null when a column is null")
    optional: bool = Field(False, description="the source may lack the column: the value is empty then")
    parse: Literal["json", "ruby_hash"] | None = Field(None, description="the text is a list or a map in this notation")
    pairs: Pairs | None = Field(None, description="the text is names and values: size=S,color=Red")
    each: str | None = Field(None, description="of a list of objects: the key whose value is taken from each")
    strip: str = Field("", description="characters to take off both ends of the text, besides spaces")
    between: Separator | None = Field(
        None, description="separator between several values in one text, of which one counts"
    )
    take: Literal["first", "last", "deepest"] = Field("first", description="which of them; deepest: of most parts")
    split: Separator | None = Field(None, description="separator that makes a list of the text")
    drop_first: int = Field(0, ge=0, description="how many elements to drop at the beginning of a list")
    drop_last: int = Field(0, ge=0, description="how many elements to drop at the end of a list")
    drop_last_like: str | None = Field(
        None, description="a column: drop last elements that begin with its first word, but never the first element"
    )
    joined: str | None = Field(None, description="the list as one text, with this between its elements")
    lower: bool = Field(False, description="in lower case")
    number: Number | None = Field(None, description="the text is one number, such as 'Rs. 1,299'; price always is")
    currency: dict[str, str] | None = Field(
        None,
        description="take the currency beside a number; signs that several currencies share, with the code: {$: CAD}",
    )
    time: Time | None = Field(None, description="how a time is written, where it is not ISO 8601")
    read: bool = Field(
        False, description="of image: the text is the path of a file below the source, or a URL: its bytes"
    )
    read_from: list[str] = Field([], description="prefixes of URLs that may be read; paths below the source always may")
    below: list[str] = Field(
        [], description="folders of the source that paths of photos start from, whether they begin with / or not"
    )

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"column": value}
        if isinstance(value, dict):
            for name in ("number", "currency", "pairs"):
                said = value.get(name)
                if isinstance(said, bool):
                    value = {**value, name: {} if said else None}
        return value

    @field_validator("currency")
    @classmethod
    def _codes(cls, value: dict[str, str] | None) -> dict[str, str] | None:
        wrong = [code for code in (value or {}).values() if currency_code(code) != code]
        if wrong:
            raise ValueError(f"{wrong[0]} is not a code of ISO 4217")
        return value

    @model_validator(mode="after")
    def _says_one_origin(self) -> Value:
        names = ("column", "columns", "first_of", "constant", "template")
        given = [name for name in names if getattr(self, name) is not None]
        if len(given) != 1:
            said = ", ".join(given) or "none"
            raise ValueError(f"give exactly one of {', '.join(names)} (given: {said})")
        if self.take != "first" and self.between is None:
            raise ValueError("take chooses one of several values: say what stands between them")
        return self

    def inner(self) -> list[Value]:
        """Return the values that it is made of."""
        return [*(self.columns or []), *(self.first_of or [])]

    def of_their_own(self) -> list[str]:
        """Return the settings that it has and that only some fields know what to do with."""
        return [name for name in _USES if getattr(self, name) not in (None, False, [])]

    def deep_settings(self) -> list[str]:
        """Return such settings of itself and of the values that it is made of."""
        return [*self.of_their_own(), *[name for value in self.inner() for name in value.deep_settings()]]

    def own_columns(self) -> list[str]:
        """Return the source columns that it names itself."""
        named = [name for _, name, _, _ in Formatter().parse(self.template or "") if name]
        return [*[name for name in (self.column, self.drop_last_like) if name], *named]

    def source_columns(self) -> list[str]:
        """Return the source columns that the value and those in it name."""
        return [*self.own_columns(), *[name for value in self.inner() for name in value.source_columns()]]

    def missing(self, names: set[str]) -> list[str]:
        """Return the columns that it needs and that are not in ``names``; of ``first_of`` one alternative is enough."""
        if self.optional:
            return []
        lacking = [name for name in self.own_columns() if name not in names and name.split(".")[0] not in names]
        lacking += [name for value in self.columns or [] for name in value.missing(names)]
        alternatives = [value.missing(names) for value in self.first_of or []]
        return lacking + (alternatives[0] if alternatives and all(alternatives) else [])


class NamedValue(_Declared):
    """An attribute whose name stands in a column, too; {n} stands for 1, 2, 3 ... as far as there are columns."""

    name: str = Field(description="the column with the name: Attribute {n} name")
    value: str = Field(description="the column with the value: Attribute {n} value(s)")


class Attributes(_Declared):
    """Attributes by name: each from a column, from two columns (name and value), or out of one that holds a map."""

    columns: dict[str, Value] = Field({}, description="attribute names, each with its value")
    named: list[NamedValue] = Field([], description="pairs of columns: one with the name, one with the value")
    map: Value | None = Field(None, description="a column that holds a map, or a list of key and value")
    keep: dict[str, str] | None = Field(
        None, description="names of named and map (any case) to attribute names, the first of several wins; empty: all"
    )
    lower: bool = Field(False, description="values in lower case")


class Words(_Declared):
    """True if one of the words occurs as a whole word, in any case, else false."""

    words: list[str] = Field(min_length=1, description="words of any language")
    fields: list[Literal["category", "title", "description"]] = Field(
        ["category"], min_length=1, description="where they are searched for"
    )


class Parent(_Declared):
    """Rows below a parent row: variants and further photos of one product."""

    key: Value = Field(description="what names the row's parent; a parent has none, or names itself")
    names: list[Value] = Field(
        min_length=1,
        description="what a parent is called by the rows below it; of several the first that has a cell gives it",
    )
    fill: list[str] = Field(min_length=1, description="columns that are the parent's where the row's own are empty")
    own: list[str] = Field(
        [], description="a row below a parent in which all of these are empty is a photo and not a listing"
    )


class Skip(_Declared):
    """Rows that are not listings."""

    column: str = Field(description="rows are left out by this column; it may be missing")
    values: list[str] | None = Field(None, description="one of these texts; empty: whatever is given")


class Limits(_Declared):
    """Above these shares, and from ten cases on, nothing is written; defaults by judgment."""

    refused_rows: float = Field(0.1, ge=0, le=1, description="share of rows that could not be read or mapped")
    missing_photos: float = Field(0.2, ge=0, le=1, description="share of photos named by a path that are not there")


class _WithPhoto(_Declared):
    image: Value | None = None


# attributes and age_restricted have their own sections
_OWN_SECTION = ("attributes", "age_restricted")
_FIELDS: dict[str, Any] = {
    field.name: (Value, ...) if field.required else (Value | None, None)
    for field in DUMP_FIELDS
    if field.name not in _OWN_SECTION
}
Fields = create_model("Fields", __base__=_WithPhoto, __doc__="The fields of the dump contract.", **_FIELDS)


class Mapping(_Declared):
    """A whole mapping.yaml."""

    schema_name: Literal["ecclip.mapping/1"] = Field("ecclip.mapping/1", alias="schema", description="ecclip.mapping/1")
    source: TableFiles = Field(description="the table whose rows are listings")
    join: list[Join] = Field([], description="tables whose columns are added by key")
    parent: Parent | None = Field(None, description="rows below a parent row")
    skip: list[Skip] = Field([], description="rows that are not listings")
    columns: Fields = Field(description="fields of the dump, each with its value")
    attributes: Attributes = Field(Attributes(), description="the listing's attributes")
    age_restricted: Value | Words | None = Field(None, description="a value, or words that tell it")
    null_values: list[str] = Field([""], description="texts that stand for nothing")
    limits: Limits = Field(Limits(), description="shares above which nothing is written")

    @model_validator(mode="after")
    def _settings_have_a_use(self) -> Mapping:
        """Refuse settings that would have no effect."""
        for name, value in self.values().items():
            places = {"columns.price", name} if name.startswith("attributes.columns.") else {"columns.price"}
            allowed = _USES | {"number": places}
            for setting in value.of_their_own():
                if name not in allowed[setting]:
                    raise ValueError(f"{name}: {setting} is only for {', '.join(sorted(allowed[setting]))}")
            nested = [setting for inner in value.inner() for setting in inner.deep_settings()]
            if nested:
                raise ValueError(f"{name}: say {nested[0]} of the whole value, not of a part of it")
        if self.columns.image is not None and self.columns.image.read and self.field("image_uri") is not None:
            raise ValueError("columns.image: with read the photo's name stands in image; leave image_uri out")
        return self

    def field(self, name: str) -> Value | None:
        """Return the value of a field of the contract."""
        value: Value | None = getattr(self.columns, name)
        return value

    def values(self) -> dict[str, Value]:
        """Return every declared value by the name that a message gives it."""
        found = {f"columns.{name}": getattr(self.columns, name) for name in Fields.model_fields}
        found |= {f"attributes.columns.{name}": value for name, value in self.attributes.columns.items()}
        found["attributes.map"] = self.attributes.map
        if self.parent is not None:
            found["parent.key"] = self.parent.key
            found |= {f"parent.names.{place}": value for place, value in enumerate(self.parent.names)}
        if isinstance(self.age_restricted, Value):
            found["age_restricted"] = self.age_restricted
        return {name: value for name, value in found.items() if value is not None}

    def numbers(self) -> Iterator[tuple[str, Value, Number]]:
        """Yield the values that are numbers, by the name that a message gives them; the price always is one."""
        for name, value in self.values().items():
            if value.number is not None or name == "columns.price":
                yield name, value, value.number or Number.model_validate({})

    def source_columns(self) -> set[str]:
        """Return every column that the mapping names, patterns with {n} as they are."""
        named = {name for value in self.values().values() for name in value.source_columns()}
        named |= {column for pair in self.attributes.named for column in (pair.name, pair.value)}
        named |= {skip.column for skip in self.skip} | {join.left for join in self.join}
        return named | set(self.parent.fill + self.parent.own if self.parent else [])
