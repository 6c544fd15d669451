"""Files that a shop keeps in ``policies/``: found by name, and checked with the line of what is wrong in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError

from ecclip.core import ConfigError
from ecclip.core.edited import place_in, read_edited

_File = TypeVar("_File", bound=BaseModel)


def _path(given: Any) -> Any:
    """Return the names in ``Drinks > Wine``; a list of names as it is."""
    return [name.strip() for name in given.split(">")] if isinstance(given, str) else given


Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=1000)]
CategoryPath = Annotated[list[Text], Field(min_length=1), BeforeValidator(_path)]


STRICT = ConfigDict(extra="forbid", frozen=True)  # of a part of a file: a name that is not among its fields is an error


@dataclass(frozen=True)
class PolicyFile:
    """One kind of file: ``what`` it is for people, the ``parameter`` that names it, and what mends it."""

    what: str
    parameter: str
    next_step: str

    def find(self, folder: Path, name: str, others: Sequence[str], example: str) -> Path:
        """Return the file of that name; ``others`` are names that are no file, ``example`` makes one.

        Raises:
            ConfigError: it does not lie in the folder; names those that do.
        """
        path = folder / name
        if not (path.is_file() and path.resolve().parent == folder.resolve()):
            raise ConfigError(
                f"there is no such file with the {self.what}",
                value=path,
                limit=", ".join([*others, *sorted(one.name for one in folder.glob("*.y*ml"))]) or "there is none yet",
                next_step=f"set {self.parameter} to one of these, or write the file: {example}",
            )
        return path

    def read(self, path: Path, model: type[_File]) -> _File:
        """Return the file's content.

        Raises:
            ConfigError: something in it is wrong; names file and line, value and next step.
        """
        try:
            return model.model_validate(read_edited(path, self.next_step))
        except ValidationError as error:
            first = error.errors()[0]
            names = [str(name) for name in first["loc"] if name != "[key]"]
            said = f"{'.'.join(names)}: {first['msg']}"
            raise self.wrong(path, said, *names, value=first["input"]) from error

    def wrong(self, path: Path, said: str, *names: str, value: Any, limit: str | None = None) -> ConfigError:
        """Return the error about the ``value`` that ``names`` lead to."""
        return ConfigError(
            f"the file with the {self.what} has something wrong: {said}",
            value=f"{place_in(path, *names)}: {str(value)[:80]!r}",
            limit=limit,
            next_step=self.next_step,
        )
