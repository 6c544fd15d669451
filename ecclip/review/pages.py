"""What the page shows, in HTML. Every text of a listing is hostile: it is escaped, and what is invisible is visible."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import fields
from functools import partial
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined

from ecclip.core import shown
from ecclip.formats.columns import IMAGE_SHA256, TITLE_ORIGINAL
from ecclip.review.desk import Desk
from ecclip.review.drawing import DECISIONS, ORDERS, SPLITS, STATES, Filter
from ecclip.review.questions import Question, label_text

SHOWN_LABEL = "shown"  # field of a form: the label that the filter looks at
_OPTIONS = 8  # likeliest labels with a key of their own; 9 keys, one for the label as it stands
_SUGGESTED = 2  # of them at most that have no examples: categories suggested by their names alone; by judgment
_ROWS = 50  # listings of a table's page; by judgment
_LONGEST = 1500  # characters of a description that are shown; by judgment


def address(wanted: Filter, **where: Any) -> str:
    """Return the address of a page: a filter without what is the default, and where in it."""
    default = Filter()
    named = {one.name: getattr(wanted, one.name) for one in fields(Filter)}
    given = {name: value for name, value in named.items() if value != getattr(default, name)} | where
    return "/" + (f"?{urlencode(given)}" if given else "")


class Pages:
    """The pages of a desk; ``form_token`` goes into every form."""

    def __init__(self, desk: Desk, form_token: str) -> None:
        self._desk = desk
        self._environment = Environment(
            loader=PackageLoader("ecclip.review", "templates"),
            autoescape=True,
            finalize=lambda value: shown(value) if type(value) is str else value,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._always = {
            "night": desk.night.night,
            "author": desk.author,
            "form_token": form_token,
            "questions": desk.night.questions,
            "orders": ORDERS,
            "choices": {"decision": DECISIONS, "split": SPLITS, "state": STATES},
        }

    def listing(self, wanted: Filter, listing_id: str) -> str:
        """Return the page of one listing, the first that the filter looks at where none is named."""
        question, places = self._desk.night.question(wanted.head), self._desk.places(wanted)
        if not listing_id and not places:
            return self._render("empty", wanted, question, count=0)
        place = self._desk.night.place(listing_id) if listing_id else places[0]
        before, after = self._desk.beside(wanted, place)
        return self._render(
            "listing",
            wanted,
            question,
            count=len(places),
            row=self._row(question, place, self._desk.night.details([place])[place]),
            options=self._options(question, place),
            before=self._link(wanted, before),
            after=self._link(wanted, after),
        )

    def table(self, wanted: Filter, page: int, prepare: Callable[[Iterable[str]], None]) -> str:
        """Return a page of the table; ``prepare`` is told the digests of its photos."""
        question, places = self._desk.night.question(wanted.head), self._desk.places(wanted)
        pages = max(1, -(-len(places) // _ROWS))
        chosen = places[(page - 1) * _ROWS : page * _ROWS]
        details = self._desk.night.details(chosen)
        prepare(row[IMAGE_SHA256] for row in details.values() if row[IMAGE_SHA256])
        links = {"before": page - 1 if page > 1 else None, "after": page + 1 if page < pages else None}
        return self._render(
            "table",
            wanted,
            question,
            count=len(places),
            view="table",
            page=page,
            pages=pages,
            rows=[self._row(question, place, details[place]) for place in chosen],
            **{name: to and address(wanted, view="table", page=to) for name, to in links.items()},
        )

    def refused(self, why: str) -> str:
        """Return the page that says why a request was refused."""
        return self._environment.get_template("refused.html.j2").render(self._always, why=why)

    def _render(self, name: str, wanted: Filter, question: Question, **context: Any) -> str:
        shared = {"view": "one", "wanted": wanted, "question": question, "labels": list(question.texts)}
        to = partial(address, wanted)
        return self._environment.get_template(f"{name}.html.j2").render(self._always | shared | context, to=to)

    def _row(self, question: Question, place: int, details: dict[str, Any]) -> dict[str, Any]:
        standing, answers = self._desk.standing(question, place), self._desk.night.answers(question)
        said = {name: int(getattr(answers, name)[place]) for name in ("answer", "image", "text")}
        description = details["description"] or ""
        return {
            "listing_id": details["listing_id"],
            "title": details[TITLE_ORIGINAL] or "",
            "description": description[:_LONGEST] + ("…" if len(description) > _LONGEST else ""),
            "facts": [(name, details[name]) for name in ("seller_id", "brand", "price", "currency") if details[name]],
            "photo": details[IMAGE_SHA256],
            "label": label_text(standing.label),
            "said": standing.correction,
            **{name: label_text(question.labels[number]) if number >= 0 else "" for name, number in said.items()},
            **{name: float(getattr(answers, name)[place]) for name in ("score", "margin", "image_score", "text_score")},
            "decision": "auto" if answers.auto[place] else self._review(question),
        }

    def _review(self, question: Question) -> str:
        return "review, zero-shot" if self._desk.night.heads.zero_shot.get(question.head.name) else "review"

    def _options(self, question: Question, place: int) -> list[dict[str, Any]]:
        """Return the label as it stands, the likeliest ones, and then those without examples that are suggested."""
        standing = label_text(self._desk.standing(question, place).label)
        suggested = [
            {"text": label_text(label), "score": score, "zero_shot": True}
            for label, score in self._desk.night.suggested(question, place, _SUGGESTED)
            if label_text(label) != standing
        ]
        best = [
            {"text": label_text(label), "score": score, "zero_shot": False}
            for label, score in self._desk.night.best(question, place, _OPTIONS)
        ]
        scores = {option["text"]: option["score"] for option in best}
        own = {"text": standing, "score": scores.get(standing), "zero_shot": False}
        others = [option for option in best if option["text"] != standing][: _OPTIONS - len(suggested)]
        return [*([own] if standing in question.texts else []), *others, *suggested]

    def _link(self, wanted: Filter, place: int | None) -> str:
        return "" if place is None else address(wanted, listing=str(self._desk.night.rows.listing_ids[place]))
