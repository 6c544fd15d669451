"""Phrases at the edges of a title: found and removed without knowing any language."""

from __future__ import annotations

import unicodedata
from collections.abc import Set
from itertools import groupby
from typing import NamedTuple

LEFT, RIGHT = "<", ">"  # a phrase is written with the edge that it stands at: "<free shipping", ">official store"
_OPENING = ("Ps", "Pi", "Sc")
_CLOSING = ("Pe", "Pf", "Sc")
_CLOSING_SIGNS = "%+°\"'!?."


class Word(NamedTuple):
    """A run of letters, marks and digits: where it lies, and its lower case."""

    start: int
    end: int
    text: str


def words_of(title: str) -> list[Word]:
    """Return the words of a title; brackets, punctuation and symbols stand between words."""
    words, at = [], 0
    for inside, signs in groupby(title, key=lambda sign: unicodedata.category(sign)[0] in "LMN"):
        run = "".join(signs)
        if inside:
            words.append(Word(at, at + len(run), run.lower()))
        at += len(run)
    return words


def edges_of(title: str, longest: int) -> list[str]:
    """Return the phrases of at most ``longest`` words at both edges of a title that leave a word of it."""
    texts = [word.text for word in words_of(title)]
    lengths = range(1, min(longest, len(texts) - 1) + 1)
    return [LEFT + " ".join(texts[:n]) for n in lengths] + [RIGHT + " ".join(texts[-n:]) for n in lengths]


def without_phrases(title: str, phrases: Set[str], longest: int) -> str:
    """Return ``title`` without the ``phrases`` at its edges, the longest first, again until none is left.

    A word always stays, so that a title of nothing but phrases keeps its last one. Doing it twice changes nothing.
    """
    words = words_of(title)
    first, last = 0, len(words)
    while True:
        left, right = _length(words[first:last], phrases, longest, LEFT), 0
        if not left:
            right = _length(words[first:last], phrases, longest, RIGHT)
        if not left and not right:
            break
        first, last = first + left, last - right
    start = _opened(title, words[first - 1].end, words[first].start) if first else 0
    end = _closed(title, words[last - 1].end, words[last].start) if last < len(words) else len(title)
    return title[start:end].strip()


def _length(words: list[Word], phrases: Set[str], longest: int, edge: str) -> int:
    for count in range(min(longest, len(words) - 1), 0, -1):
        part = words[:count] if edge == LEFT else words[-count:]
        if edge + " ".join(word.text for word in part) in phrases:
            return count
    return 0


def _opened(title: str, limit: int, start: int) -> int:
    # an opening bracket or a currency sign belongs to the word that it touches
    while start > limit and unicodedata.category(title[start - 1]) in _OPENING:
        start -= 1
    return start


def _closed(title: str, end: int, limit: int) -> int:
    while end < limit and (unicodedata.category(title[end]) in _CLOSING or title[end] in _CLOSING_SIGNS):
        end += 1
    return end
