"""Words of a title or description with their places, and the spans of words that may be a value.

Needs the standard library only; the file travels in the bundle.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

MOST_WORDS = 8  # of a value; by judgment: of the annotated values of public sets 99 % are shorter
_LONGEST_KNOWN = 32  # letters of a word whose shape is remembered, which bounds the memory; by judgment
_IDEOGRAPHS = "\u3040-\u30ff\u3400-\u9fff"  # written without spaces: each sign is a word of its own
_WORD = re.compile(
    rf"[0-9]+(?:[.,][0-9]+)+[^\W\d_{_IDEOGRAPHS}]*|[{_IDEOGRAPHS}]|[^\W_{_IDEOGRAPHS}]+(?:['\u2019][^\W_]+)*|[^\w\s]|_"
)
# signs that no value begins or ends with; a value may end with a percent sign, a plus, or inches
_NEVER_FIRST = frozenset(",.;:!?)]}|/-\u2013&+*'\"%")
_NEVER_LAST = frozenset(",.;:!?([{|/-\u2013&*'")


@dataclass(frozen=True)
class Words:
    """A text and its words: ``starts`` and ``ends`` are places in ``text``, ``folded`` the words without case."""

    text: str
    starts: tuple[int, ...]
    ends: tuple[int, ...]
    written: tuple[str, ...]
    folded: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.written)

    @cached_property
    def shapes(self) -> list[str]:
        """The shape of each word (:func:`shape_of`)."""
        return [shape_of(word) for word in self.written]

    def span(self, first: int, stop: int) -> str:
        """Return the text from word ``first`` to the one before ``stop``."""
        return self.text[self.starts[first] : self.ends[stop - 1]]


def words_of(text: str) -> Words:
    """Return the words of a text; numbers keep their decimals and their unit, signs are words of their own."""
    found = [(one.start(), one.end(), one[0]) for one in _WORD.finditer(text)]
    starts, ends, written = zip(*found, strict=True) if found else ((), (), ())
    return Words(text, starts, ends, written, tuple(word.casefold() for word in written))


def spans_of(words: Words, longest: Sequence[int] | None = None) -> Iterator[tuple[int, int]]:
    """Yield (first, stop) of every span of at most ``MOST_WORDS`` words that may be a value, in order.

    ``longest`` says by first word how many words a span may have.
    """
    for first, word in enumerate(words.written):
        most = MOST_WORDS if longest is None else longest[first]
        if word in _NEVER_FIRST or not most:
            continue
        for stop in range(first + 1, min(first + most, len(words)) + 1):
            if words.written[stop - 1] not in _NEVER_LAST:
                yield first, stop


def key_of(words: Words, first: int, stop: int) -> str:
    """Return by what two spellings of a span are one value: its words without case, apart."""
    return " ".join(words.folded[first:stop])


def shape_of(word: str) -> str:
    """Return the kinds of a word's letters, runs as one: ``Xd`` of ``YA24``, ``x`` of ``red``."""
    return _known_shape(word) if len(word) <= _LONGEST_KNOWN else _shape(word)


@lru_cache(1 << 13)
def _known_shape(word: str) -> str:
    return _shape(word)


def _shape(word: str) -> str:
    kinds = [
        "X" if sign.isupper() else "d" if sign.isdigit() else "x" if sign.isalpha() else _sign(sign) for sign in word
    ]
    return "".join(kind for place, kind in enumerate(kinds) if not place or kinds[place - 1] != kind)


def _sign(sign: str) -> str:
    return "'" if unicodedata.category(sign) == "Pf" else sign
