"""The desk at which labels are corrected: what a night says, and what people have said since."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple

from ecclip.core import ContractError, now
from ecclip.formats.corrections import Correction, Label, append_corrections, in_effect, read_corrections
from ecclip.review.drawing import Filter
from ecclip.review.night import ReviewedNight, known_label
from ecclip.review.questions import Question, label_text

Outcome = Literal["recorded", "unchanged", "unknown_listing", "unknown_task", "unknown_label"]


class Said(NamedTuple):
    """What somebody says of one listing: the text of the label, and who says so when; empty: as the desk has it."""

    listing_id: str
    head: str
    text: str
    author: str = ""
    at: str = ""


@dataclass(frozen=True)
class Standing:
    """Where a label stands: as the catalog and people have it, and who has said so; None: nobody yet."""

    label: Label
    correction: Correction | None


class Desk:
    """One night and the corrections of its shop. Several threads may work at it.

    Args:
        night: what is looked at.
        folder: of the corrections.
        author: who corrects.

    Raises:
        ContractError: the corrections have a schema that this code does not know.
        IntegrityError: a line of them cannot be read.
    """

    def __init__(self, night: ReviewedNight, folder: Path, author: str) -> None:
        self.night, self._folder, self.author = night, folder, author
        self._lock = threading.Lock()
        self._said = in_effect(read_corrections(folder))

    @classmethod
    def of_night(
        cls, night: str, snapshot: Path, embedded: Path, evaluated: Path, *, folder: Path, author: str
    ) -> Desk:
        """Return the desk of a night from the folders of the stages publish, embed and evaluate."""
        return cls(ReviewedNight.load(night, snapshot, embedded, evaluated), folder, author)

    def standing(self, question: Question, place: int) -> Standing:
        """Return the label of a listing as it stands."""
        listing_id = str(self.night.rows.listing_ids[place])
        said = self._said.get((listing_id, question.field, question.name))
        return Standing(self.night.given(question, place) if said is None else said.new, said)

    def places(self, wanted: Filter) -> list[int]:
        """Return the places that a filter looks at, in order."""
        question, queue = self.night.question(wanted.head), self.night.queue(replace(wanted, state="any")).tolist()
        if wanted.state == "any":
            return queue
        return [place for place in queue if self._is_done(question, place) == (wanted.state == "done")]

    def beside(self, wanted: Filter, place: int) -> tuple[int | None, int | None]:
        """Return the places that a filter looks at before and after one, which itself may be done by now."""
        question, queue = self.night.question(wanted.head), self.night.queue(replace(wanted, state="any")).tolist()
        at = queue.index(place) if place in queue else -1
        looked_at = [wanted.state == "any" or self._is_done(question, one) == (wanted.state == "done") for one in queue]
        before = next((queue[index] for index in range(at - 1, -1, -1) if looked_at[index]), None)
        after = next((queue[index] for index in range(at + 1, len(queue)) if looked_at[index]), None)
        return before, after

    def say(self, said: Iterable[Said]) -> Counter[Outcome]:
        """Record what people say, all of it at once; return how often it ended how.

        What is in effect already is ``unchanged``. Of a listing, a task or a label that the night does not know
        nothing is recorded.

        Raises:
            ContractError: an author or a moment that is no text.
        """
        counts: Counter[Outcome] = Counter()
        with self._lock:
            self._said |= in_effect(read_corrections(self._folder))  # others may have worked meanwhile
            found: list[Correction] = []
            for one in said:
                outcome, correction = self._correction(one)
                counts[outcome] += 1
                found += [] if correction is None else [correction]
            append_corrections(self._folder, found)
            self._said |= in_effect(found)
        return counts

    def correct(self, listing_id: str, head: str, text: str) -> None:
        """Record one label.

        Raises:
            ContractError: the night does not know the listing, the task or the label; names it.
        """
        question = self.night.question(head)
        self.night.place(listing_id)
        self.say([Said(listing_id, question.head.name, label_text(known_label(question, text)))])

    def _is_done(self, question: Question, place: int) -> bool:
        return self.standing(question, place).correction is not None

    def _correction(self, said: Said) -> tuple[Outcome, Correction | None]:
        """Return how it ends, and what is to be recorded."""
        if said.head not in self.night.questions:
            return "unknown_task", None
        question = self.night.questions[said.head]
        if said.listing_id not in self.night.places:
            return "unknown_listing", None
        if said.text not in question.texts:
            return "unknown_label", None
        standing, new = self.standing(question, self.night.places[said.listing_id]), question.texts[said.text]
        if standing.correction is not None and standing.label == new:
            return "unchanged", None
        return "recorded", Correction(
            listing_id=said.listing_id,
            field=question.field,
            name=question.name,
            old=standing.label,
            new=new,
            author=said.author or self.author,
            at=said.at or now().isoformat(timespec="seconds"),
            night=self.night.night,
        )


def outcome_of(counts: Counter[Outcome], ignored: int = 0) -> dict[str, int]:
    """Return counts as a command prints them; ``ignored`` lines said nothing."""
    return {**dict(sorted(counts.items())), **({"left_open": ignored} if ignored else {})}


def require_some(counts: Counter[Outcome], path: Path, known: Sequence[str]) -> None:
    """Refuse a file that says nothing of this night.

    Raises:
        ContractError: nothing of it was recorded or in effect already.
    """
    if counts and not counts["recorded"] and not counts["unchanged"]:
        raise ContractError(
            f"nothing in {path} is of this night: {', '.join(f'{name} {number}' for name, number in counts.items())}",
            limit=", ".join(known),
            next_step="give the night that the file was exported from: --night",
        )
