"""Questions as a CSV file for a spreadsheet, and what somebody has written into its last column."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator

from ecclip.core import ContractError
from ecclip.review.desk import Desk, Said
from ecclip.review.questions import Question, label_text

_COLUMNS = (
    *("listing_id", "task", "title", "label", "answer", "score", "margin", "decision", "photo", "text"),
    "suggested",  # a category without examples
)
CORRECTION = "correction"  # the column that people fill
_ACTIVE = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet takes for a formula (OWASP, CSV injection)
_DELIMITERS = ",;\t"  # as spreadsheets of different countries save a CSV


def to_csv(desk: Desk, question: Question, places: Iterable[int]) -> str:
    """Return questions as CSV: a row per listing, with the column ``correction`` left empty.

    No cell acts as a formula: one that begins like one has an apostrophe before it, which :func:`from_csv` takes away.
    """
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow([*_COLUMNS, CORRECTION])
    answers = desk.night.answers(question)

    def said(numbers: object, place: int) -> str:
        number = int(numbers[place])  # type: ignore[index]
        return label_text(question.labels[number]) if number >= 0 else ""

    for place in places:
        decision = "auto" if answers.auto[place] else "review"
        row = [
            str(desk.night.rows.listing_ids[place]),
            question.head.name,
            desk.night.rows.titles[place],
            label_text(desk.standing(question, place).label),
            said(answers.answer, place),
            f"{answers.score[place]:.4f}",
            f"{answers.margin[place]:.4f}",
            decision,
            said(answers.image, place),
            said(answers.text, place),
            next((label_text(label) for label, _ in desk.night.suggested(question, place, 1)), ""),
            "",
        ]
        writer.writerow([_inert(cell) for cell in row])
    return text.getvalue()


def from_csv(text: str) -> tuple[list[Said], int]:
    """Return what the filled rows of a CSV file say, and how many rows were left open.

    Raises:
        ContractError: a column is missing, or the text is no CSV; names it.
    """
    said, left_open = [], 0
    for row in _rows(text):
        label = _plain(row[CORRECTION] or "").strip()
        if label:
            said.append(Said(_plain(row["listing_id"] or ""), _plain(row["task"] or ""), label))
        else:
            left_open += 1
    return said, left_open


def _rows(text: str) -> Iterator[dict[str, str]]:
    header = text.split("\n", 1)[0]
    delimiter = max(_DELIMITERS, key=header.count)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        missing = {"listing_id", "task", CORRECTION} - {*(reader.fieldnames or ())}
        if missing:
            raise ContractError(
                "a column is missing in the file of corrections",
                value=", ".join(sorted(missing)),
                limit=", ".join([*_COLUMNS, CORRECTION]),
                next_step="keep the header that ecclip review export wrote",
            )
        yield from reader
    except csv.Error as error:
        raise ContractError(
            "the file of corrections is no CSV",
            value=f"line {reader.line_num}: {error}",
            next_step="save it as CSV with UTF-8, as it was exported",
        ) from error


def _inert(cell: str) -> str:
    return f"'{cell}" if cell.startswith((*_ACTIVE, "'")) else cell


def _plain(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and cell[1:].startswith((*_ACTIVE, "'")) else cell
