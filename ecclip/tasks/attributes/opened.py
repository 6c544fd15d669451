"""Open values as a bundle answers them: read out of the texts, in the shop's spelling, with a decision each.

Needs numpy (1.26 or 2) and the standard library only; the file travels in the bundle.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Any

from ecclip.tasks.attributes.reader import Reader
from ecclip.tasks.attributes.tokens import key_of, words_of
from ecclip.tasks.scores import AUTO, EVEN_CHANCE, NEVER_AUTO, REVIEW, UNKNOWN, plain


@dataclass(frozen=True)
class OpenValue:
    """What is said of one attribute: its value, None for "not present", the text that it was read in, and how sure.

    ``score`` None stands for unknown: there was no text to read.
    """

    value: str | None
    score: float | None
    source: str | None
    decision: str

    def output(self) -> dict[str, Any]:
        """Return it as the service's output ATTRIBUTES has it."""
        found = {"value": self.value, "score": self.score}
        return found if self.source is None else found | {"source": self.source}


class OpenValues:
    """Answers by the part ``open`` of heads.json: a reader's model, and by attribute from which score a value is said
    (``least``) and from which on an answer needs no review (``auto``); ``spelling`` is how the shop writes a value.
    """

    def __init__(self, described: Mapping[str, Any]) -> None:
        self._reader = Reader(described["reader"])
        self._least, self._auto = dict(described["least"]), dict(described["auto"])
        self._spelling = dict(described["spelling"])

    @property
    def names(self) -> list[str]:
        """The attributes that it knows."""
        return self._reader.names

    def answer(
        self, title: str | None, description: str | None, category: str = "", names: Container[str] | None = None
    ) -> dict[str, OpenValue]:
        """Return what is said of each attribute, or those of ``names``; ``category`` as the reader learnt it."""
        asked = [name for name in self.names if names is None or name in names]
        if not title and not description:
            return {name: OpenValue(None, None, None, UNKNOWN) for name in asked}
        found = self._reader.read(title, description, category, asked)
        answers = {}
        for name in asked:
            one = found.get(name)
            likely = 0.0 if one is None else one.score
            if one is None or likely < self._least[name]:
                answers[name] = self._said(name, None, 1.0 - likely, None)
            else:
                answers[name] = self._said(name, self._spelled(one.value), likely, one.source)
        return answers

    def _said(self, name: str, value: str | None, score: float, source: str | None) -> OpenValue:
        sure = score >= max(self._auto.get(name, NEVER_AUTO), EVEN_CHANCE)
        return OpenValue(value, plain(score), source, AUTO if sure else REVIEW)

    def _spelled(self, value: str) -> str:
        words = words_of(value)
        return self._spelling.get(key_of(words, 0, len(words)), value)
