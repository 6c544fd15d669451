"""Ask the live model about products of a night, and show its answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ecclip.client import Answer, Product, ProductClient
from ecclip.core import ServiceError, settings, shown
from ecclip.formats.columns import IMAGE_ERROR, IMAGE_SHA256, SPLIT, TITLE_ORIGINAL
from ecclip.formats.snapshot import Snapshot
from ecclip.serving import client_options

_COLUMNS = ["listing_id", TITLE_ORIGINAL, "category", "age_restricted", "image_uri", IMAGE_ERROR, IMAGE_SHA256, SPLIT]


@dataclass(frozen=True, kw_only=True)
class Question:
    """A listing of the dump as the shop exported it: its photo's name and bytes, and its title."""

    photo: str
    image: bytes | None
    title: str | None


def show_answers(console: Console, address: str, night: str, count: int = 8) -> list[Answer]:
    """Ask the server at ``address`` about ``count`` products of a night, print a table, return the answers.

    Raises:
        ServiceError: the server does not answer, or it answers one of them with an error.
    """
    questions = choose_questions(night, count)
    with ProductClient(address, client_options()) as client:
        answers = client.ask([Product(image=question.image, title=question.title) for question in questions])
    table = Table(
        title=f"answers of {address} over gRPC: products of {night} held back from training", title_justify="left"
    )
    table.add_column("photo file", no_wrap=True)
    table.add_column("title → answer", overflow="fold")
    table.add_column("lineage id", no_wrap=True)
    for question, answer in zip(questions, answers, strict=True):
        table.add_row(*map(Text, _cells(question, answer)))
    console.print(table)
    failed = [answer.error for answer in answers if answer.error]
    if failed:
        raise ServiceError("the server answered with an error", value=failed[0], next_step="see work/logs/triton.log")
    return answers


def choose_questions(night: str, count: int) -> list[Question]:
    """Return products of the test split: one per category in turn, restricted ones first, one with its photo alone."""
    snapshot = Snapshot(settings().work / "snapshots" / night)
    rows = snapshot.table(_COLUMNS).to_pylist()
    held_back = [row for row in rows if row[SPLIT] == "test"] or rows
    chosen = _spread(held_back, count)
    questions = []
    for number, row in enumerate(chosen):
        image = _photo(night, row, snapshot)
        alone = number == len(chosen) - 1 and image is not None
        questions.append(
            Question(photo=row["image_uri"] or "-", image=image, title=None if alone else row[TITLE_ORIGINAL])
        )
    return questions


def _spread(rows: list[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    """Pick rows from each category in turn; restricted ones first, because they are rare."""
    shelves: dict[tuple[bool, str], list[dict[str, Any]]] = {}
    for row in sorted(rows, key=lambda row: (row[IMAGE_ERROR] is not None or not row["image_uri"], row["listing_id"])):
        key = (not row["age_restricted"], " > ".join(row["category"] or []))
        shelves.setdefault(key, []).append(row)
    restricted = [shelf for key, shelf in sorted(shelves.items()) if not key[0]][:2]
    others = [shelf for key, shelf in sorted(shelves.items()) if key[0]]
    step = max(1, len(others) // max(1, count - len(restricted)))
    ordered = restricted + others[::step] + [shelf for number, shelf in enumerate(others) if number % step]
    longest = max((len(shelf) for shelf in ordered), default=0)
    return [shelf[turn] for turn in range(longest) for shelf in ordered if turn < len(shelf)][:count]


def _photo(night: str, row: dict[str, Any], snapshot: Snapshot) -> bytes | None:
    """Return the photo's file in the dump, or the snapshot's copy where photos are in Parquet or at an address."""
    if row["image_uri"]:
        dump = (settings().work / "nights" / night / "dump").resolve()
        path = (dump / row["image_uri"]).resolve()
        if path.is_relative_to(dump) and path.is_file() and row[IMAGE_ERROR] is None:
            return path.read_bytes()
    return next((data for _, data in snapshot.photos([row[IMAGE_SHA256]] if row[IMAGE_SHA256] else [])), None)


def _cells(question: Question, answer: Answer) -> list[str]:
    from ecclip.tasks.kinds import TASKS  # late: the room loads what trains and reports

    title = shown(question.title or "(photo alone)")
    if answer.error:
        return [_short(question.photo), f"{title}\n→ error: {shown(answer.error)}", ""]
    outputs = answer.to_outputs()
    said = [f"→ {task.title}: {shown(task.in_words(outputs))}" for task in TASKS]
    return [_short(question.photo), "\n".join([title, *said]), answer.lineage]


def _short(uri: str, limit: int = 18) -> str:
    """Return a file name shortened to fit a column; its path is left out."""
    name = shown(uri.rsplit("/", 1)[-1])
    return name if len(name) <= limit else f"{name[: limit - 9]}…{name[-8:]}"
