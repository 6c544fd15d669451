"""The recipes by which a night was cleaned: a later night takes over what was cleaned by an equal one."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from ecclip.formats.documents import read_record, write_document

SCHEMA = "ecclip.recipes/1"
FILE = "recipes.json"
_NEXT_STEP = "run clean and the stages after it again for its night"


@dataclass(frozen=True)
class Recipes:
    """Digests of code, parameters and library versions: of what makes photos, and of what makes texts."""

    photo: str
    text: str


def write_recipes(recipes: Recipes, folder: Path) -> None:
    """Write the recipes beside what was made by them."""
    write_document(folder / FILE, SCHEMA, asdict(recipes))


def read_recipes(folder: Path) -> Recipes:
    """Return what :func:`write_recipes` wrote.

    Raises:
        ContractError: it has a schema that this code does not know.
        IntegrityError: it cannot be read; names the file and, where it is one, the field.
    """
    return read_record(Recipes, folder / FILE, SCHEMA, _NEXT_STEP)
