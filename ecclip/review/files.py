"""Questions into a file for people who work elsewhere, and their answers back: CSV, or tasks of Label Studio."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ecclip.core import ContractError, canonical_json, write_atomic
from ecclip.review.desk import Desk, outcome_of, require_some
from ecclip.review.drawing import Filter
from ecclip.review.label_studio import from_tasks, labelling_config, to_tasks
from ecclip.review.spreadsheet import from_csv, to_csv

_LARGEST = 1 << 30  # bytes of a file of corrections: photos travel in it; by judgment
_SUFFIXES = (".csv", ".json")


def export_questions(desk: Desk, wanted: Filter, path: Path, most: int) -> dict[str, Any]:
    """Write the first ``most`` questions that a filter looks at: CSV, or Label Studio's tasks where it is ``.json``.

    Beside the tasks lies the labelling configuration of their project, ``.xml``.

    Raises:
        ContractError: another suffix, or the filter names what there is not.
    """
    suffix = _suffix(path)
    question, places = desk.night.question(wanted.head), desk.places(wanted)[:most]
    if suffix == ".csv":
        write_atomic(path, to_csv(desk, question, places).encode("utf-8-sig"))  # by the mark Excel knows UTF-8
        return {"questions": len(places), "file": str(path)}
    write_atomic(path, canonical_json(to_tasks(desk, question, places)))
    config = path.with_suffix(".xml")
    write_atomic(config, labelling_config(question))
    return {"questions": len(places), "file": str(path), "labelling_config": str(config)}


def import_corrections(desk: Desk, path: Path) -> dict[str, int]:
    """Record what a file says that :func:`export_questions` wrote and people have filled; return counts by outcome.

    A file may be imported twice: what is in effect already is unchanged.

    Raises:
        ContractError: the file is none of these, or nothing in it is of this night.
    """
    read = {".csv": from_csv, ".json": from_tasks}[_suffix(path)]
    said, left_open = read(_text(path))
    counts = desk.say(said)
    require_some(counts, path, list(desk.night.questions))
    return outcome_of(counts, left_open)


def _suffix(path: Path) -> str:
    if path.suffix.lower() not in _SUFFIXES:
        raise ContractError(
            "a file of questions is CSV, or JSON of Label Studio",
            value=path,
            limit=", ".join(_SUFFIXES),
            next_step="let its name end in one of these",
        )
    return path.suffix.lower()


def _text(path: Path) -> str:
    try:
        data = path.read_bytes() if path.stat().st_size <= _LARGEST else b"\xff"
        return data.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ContractError(
            "the file of corrections cannot be read",
            value=path,
            limit=f"UTF-8, {_LARGEST} bytes",
            next_step="save it with UTF-8",
        ) from error
