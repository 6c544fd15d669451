"""The stage ``answers``: what a bundle says of a whole snapshot, as a table."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic import Field

from ecclip.atomic import MANIFEST
from ecclip.core import ContractError, Counts, StageConfig, digest_of, get_logger, settings, stage, verify_folder
from ecclip.formats.answers import (
    COLUMNS,
    QUESTION,
    AnsweredBy,
    product_ids,
    read_answers,
    read_origin,
    row_of,
    write_answers,
)
from ecclip.formats.bundle import lineage_of
from ecclip.formats.columns import IMAGE_ERROR, TITLE_ORIGINAL
from ecclip.formats.service import MAX_BATCH
from ecclip.formats.snapshot import PHOTO, Snapshot
from ecclip.serving.answering.process import BundleProcess


class AnswersConfig(StageConfig):
    """Parameters of a catalog's answers."""

    max_refused_share: float = Field(
        0.1, ge=0, le=1, description="above this share of listings without an answer the run stops; by judgment"
    )


@dataclass(frozen=True)
class _Question:
    """What a listing is asked with: the service's inputs by name; ``digest`` is that of all of them."""

    listing_id: str
    given: dict[str, bytes]
    digest: str


@dataclass
class _Found:
    """Answers and refused listings so far; ``computed`` of them were asked of the bundle now."""

    answers: list[pa.Table] = field(default_factory=lambda: [COLUMNS.empty_table()])
    refused: list[dict[str, Any]] = field(default_factory=list)
    computed: int = 0

    def add(self, question: _Question, outputs: dict[str, Any], reason: str, rows: list[dict[str, Any]]) -> None:
        """Put one listing's outputs among the rows, or among the refused."""
        self.computed += 1
        if reason:
            told = {"reason": reason, "error": outputs["ERROR"]}
            self.refused.append({"listing_id": question.listing_id, **told, QUESTION: question.digest})
        else:
            rows.append(row_of(question.listing_id, question.digest, outputs))


@stage
def answers(cfg: AnswersConfig, snapshot: Path, products: Path, bundle: Path, previous: Path, output: Path) -> Counts:
    """Write the answers of ``bundle`` to every listing of a snapshot, see :mod:`ecclip.formats.answers`.

    A listing is asked about with its photo and its texts as the server would be, by the bundle's own code and graphs;
    a photo that cleaning has rejected is left out. The photo is the snapshot's canonical copy, in which the bundle sees
    the pixels of the shop's file. What ``previous``, the answers of an earlier night, says by the same bundle to the
    same question is taken over. ``products`` gives each listing its product; both may be folders without anything.

    Raises:
        ContractError: too many listings cannot be answered, or the bundle's code is too old.
        IntegrityError: an input cannot be read, or is not what its manifest says.
        ServiceError: the process that answers has ended.
    """
    verify_folder(bundle)
    by = AnsweredBy(bundle=digest_of(bundle), lineage_id=lineage_of(digest_of(bundle)))
    known, found, listings = _Known(previous, by), _Found(), 0
    with ExitStack() as stack:
        process: BundleProcess | None = None
        for questions in _questions(Snapshot(snapshot)):
            listings += len(questions)
            new = known.take_over(questions, found)
            if new and process is None:
                process = stack.enter_context(BundleProcess(bundle, settings().torch_threads))
            if process is not None:
                _ask(process, new, found)
            get_logger().info("answering", listings=listings, computed=found.computed)
    reasons = Counter(one["reason"] for one in found.refused)
    _refuse_share(cfg, reasons, listings)
    table = pa.concat_tables(found.answers)
    at = COLUMNS.get_field_index("product_id")
    table = table.set_column(at, COLUMNS.field(at), product_ids(products, table["listing_id"]))
    write_answers(table, found.refused, by, output)
    return Counts(
        read={"listings": listings},
        written={"answers": table.num_rows},
        dropped=dict(sorted(reasons.items())),
        detail={"computed": found.computed, "bundle": by.bundle, "lineage_id": by.lineage_id},
    )


def _questions(snapshot: Snapshot) -> Iterator[list[_Question]]:
    for part in snapshot.batches(["listing_id", TITLE_ORIGINAL, "description", IMAGE_ERROR], photos=True):
        images = [None if error else data for data, error in zip(part[PHOTO], part[IMAGE_ERROR], strict=True)]
        given = zip(part["listing_id"], images, part[TITLE_ORIGINAL], part["description"], strict=True)
        yield [_question(*one) for one in given]


def _question(listing_id: str, image: bytes | None, title: str | None, description: str | None) -> _Question:
    given = {"IMAGE": image or b"", "TITLE": _bytes(title), "DESCRIPTION": _bytes(description)}
    together = hashlib.sha256()
    for name, data in given.items():
        together.update(f"{name} {len(data)} ".encode() + data)
    return _Question(listing_id, given, together.hexdigest())


def _bytes(text: str | None) -> bytes:
    return (text or "").encode("utf-8", "replace")


class _Known:
    """The answers of an earlier night, if the same bundle gave them: what need not be asked again."""

    def __init__(self, previous: Path, by: AnsweredBy) -> None:
        self._answers = COLUMNS.empty_table()
        self._places: dict[tuple[str, str], int] = {}
        self._refused: dict[tuple[str, str], dict[str, Any]] = {}
        if not (previous / MANIFEST).is_file() or read_origin(previous) != by:
            return
        self._answers, refused = read_answers(previous)
        columns = (self._answers[name].to_pylist() for name in ("listing_id", QUESTION))
        self._places = {key: place for place, key in enumerate(zip(*columns, strict=True))}
        self._refused = {(one["listing_id"], one[QUESTION]): one for one in refused.to_pylist()}

    def take_over(self, questions: list[_Question], found: _Found) -> list[_Question]:
        """Add what is known to what was found, and return the questions that are new."""
        new, places = [], []
        for question in questions:
            key = (question.listing_id, question.digest)
            if key in self._places:
                places.append(self._places[key])
            elif key in self._refused:
                found.refused.append(self._refused[key])
            else:
                new.append(question)
        found.answers.append(self._answers.take(pa.array(places, pa.int64())))
        return new


def _ask(process: BundleProcess, questions: list[_Question], found: _Found) -> None:
    rows: list[dict[str, Any]] = []
    for first in range(0, len(questions), MAX_BATCH):
        batch = questions[first : first + MAX_BATCH]
        for question, (outputs, reason) in zip(batch, process.answer([one.given for one in batch]), strict=True):
            found.add(question, outputs, reason, rows)
    found.answers.append(pa.Table.from_pylist(rows, schema=COLUMNS))


def _refuse_share(cfg: AnswersConfig, reasons: Counter[str], listings: int) -> None:
    refused = reasons.total()
    if listings and refused / listings > cfg.max_refused_share:
        counts = ", ".join(f"{name} {count}" for name, count in reasons.most_common())
        raise ContractError(
            f"too many listings cannot be answered: {counts}",
            value=f"{refused} of {listings} ({refused / listings:.1%})",
            limit=f"{cfg.max_refused_share:.1%}",
            next_step="see why in the snapshot; if it is as it should be, raise answers.max_refused_share",
        )
