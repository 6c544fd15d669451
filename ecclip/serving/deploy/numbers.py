"""Which bundle each number of a model repository means: given once, and never to another bundle.

Triton names the folders of versions by numbers. The registry's counter cannot be that number: one that was lost or
restored from a backup gives a number twice.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from ecclip.atomic import canonical_json, write_atomic
from ecclip.errors import IntegrityError
from ecclip.formats.live import STATE, read_live

_FILE = "numbers.json"


class Numbers:
    """The numbers of a model repository, those of versions that left it included."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / STATE / _FILE

    def all(self) -> dict[int, str]:
        """Return the bundle that each number means; empty where an older ecclip's record cannot be read.

        Raises:
            IntegrityError: numbers.json cannot be read.
        """
        kept = self._kept()
        return kept | {number: digest or kept.get(number, "") for number, digest in self._of_records().items()}

    def enter(self, number: int, digest: str) -> None:
        """Let a number mean a bundle, before anything of it lies there; again it changes nothing.

        Raises:
            IntegrityError: it means another bundle.
        """
        known = self.all()
        if known.get(number, digest) != digest:
            raise IntegrityError(
                "the version is another bundle",
                value=f"version {number}: {known[number][:16]}",
                limit=digest[:16],
                next_step="stage the bundle under its own version",
            )
        if self._kept().get(number) != digest:
            self._write(known | {number: digest})

    def free(self) -> int:
        """Return a number that was never given."""
        live = read_live(self._folder)
        answers = [] if live is None else [live.version, live.previous or 0]
        return max([*self.all(), *answers], default=0) + 1

    def _kept(self) -> dict[int, str]:
        if not self._path.is_file():
            return {}
        try:
            return {int(number): str(digest) for number, digest in json.loads(self._path.read_bytes()).items()}
        except (ValueError, AttributeError) as error:
            raise IntegrityError(
                "the numbers of the model repository cannot be read",
                value=self._path,
                next_step=f"rm {self._path}: those of the versions that lie there are found again",
            ) from error

    def _of_records(self) -> dict[int, str]:
        """Return what the records of the versions say, which an older ecclip wrote without this file."""
        return {
            int(path.stem.removeprefix("version-")): _bundle_of(path)
            for path in (self._folder / STATE).glob("version-*.json")
        }

    def _write(self, numbers: Mapping[int, str]) -> None:
        write_atomic(self._path, canonical_json({str(number): numbers[number] for number in sorted(numbers)}))


def _bundle_of(record: Path) -> str:
    try:
        return str(json.loads(record.read_bytes()).get("bundle", ""))
    except (ValueError, AttributeError):
        return ""  # damaged: it is taken all the same
