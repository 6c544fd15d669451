"""What is seen of a span of words: how it begins and ends, what stands around it, its words, and the whole of it.

A span's features are a sum over its first word, its last word, all its words and the span itself, so that a text of n
words costs n times the features of a word, and not those of each of its spans. Needs the standard library only; the
file travels in the bundle.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from ecclip.tasks.attributes.tokens import Words

_EDGE = "\n"  # stands for what is before the first word and behind the last one
_SHAPED_WORDS = 4  # of a span whose shape is told word by word; by judgment


def first_features(words: Words, category: str, only: Collection[int] | None = None) -> list[list[str]]:
    """Return for every word what is seen of a span that begins with it; nothing of words not among ``only``."""
    folded, shapes = _padded(words)
    found: list[list[str]] = []
    for place in range(len(words)):
        if only is not None and place not in only:
            found.append([])
            continue
        word, before = folded[place + 2], folded[place + 1]
        found.append(
            [
                f"f={word}",
                f"f/{shapes[place + 2]}",
                f"f<{word[:3]}",
                f"b={before}",
                f"b/{shapes[place + 1]}",
                f"bb={folded[place]}",
                f"bf={before} {word}",
                f"f@{min(place, 4)}",
                f"f@{min(place, 4)} {category}",
                f"f/{shapes[place + 2]} {category}",
            ]
        )
    return found


def last_features(words: Words, category: str, only: Collection[int] | None = None) -> list[list[str]]:
    """Return for every word what is seen of a span that ends with it; nothing of words not among ``only``."""
    folded, shapes = _padded(words)
    found: list[list[str]] = []
    for place in range(len(words)):
        if only is not None and place not in only:
            found.append([])
            continue
        word, after = folded[place + 2], folded[place + 3]
        found.append(
            [
                f"l={word}",
                f"l/{shapes[place + 2]}",
                f"l>{word[-3:]}",
                f"a={after}",
                f"a/{shapes[place + 3]}",
                f"aa={folded[place + 4]}",
                f"la={word} {after}",
                f"l@{min(len(words) - place, 4)}",
                f"l={word} {category}",
            ]
        )
    return found


def inner_features(words: Words, only: Collection[int] | None = None) -> list[list[str]]:
    """Return for every word what is seen of a span that it is part of; nothing of words not among ``only``."""
    return [
        [f"w={word}", f"w/{shape}", f"w>{word[-3:]}"] if only is None or place in only else []
        for place, (word, shape) in enumerate(zip(words.folded, words.shapes, strict=True))
    ]


def whole_features(words: Words, span: tuple[int, int], key: str, category: str) -> list[str]:
    """Return what is seen of a span as a whole: its length, text and shape, its ends, and what stands on both sides.

    ``key`` is the span's (:func:`~ecclip.tasks.attributes.tokens.key_of`).
    """
    first, stop = span
    count = stop - first
    shape = " ".join(words.shapes[first:stop]) if count <= _SHAPED_WORDS else "long"
    before = words.folded[first - 1] if first else _EDGE
    after = words.folded[stop] if stop < len(words) else _EDGE
    begin, end = words.folded[first], words.folded[stop - 1]
    return [
        f"c={category}",
        f"n={count}",
        f"n={count} {category}",
        f"n={count} @{min(first, 3)} {category}",
        f"n={count} b={before}",
        f"n={count} a={after}",
        f"n={count} l={end}",
        f"ba={before} {after}",
        f"fl={begin} {end}",
        f"s={key}",
        f"s/{shape}",
        f"s/{shape} {category}",
    ]


def known_as(
    key: str, uses: Mapping[str, Mapping[str, int]], seen: Mapping[str, int], own: Collection[str] | None = None
) -> list[str]:
    """Return as what a span is known: for each attribute how often listings use it as a value, and how surely.

    ``uses`` counts the listings by key and attribute, ``seen`` those that have the key in their text. ``own`` are the
    attributes of the listing itself that the key is a value of, which say nothing about it: they are counted off.
    """
    found = []
    for name, count in uses.get(key, {}).items():
        others = count - (own is not None and name in own)
        if others > 0:
            share = others / max(seen.get(key, 0) - (own is not None), others)
            found.append(f"k={name} {'often' if others > 3 else 'seldom'} {int(share * 4)}")
    return found


def beside(span: tuple[int, int], names: Collection[str], known: Sequence[tuple[int, int, str]]) -> list[str]:
    """Return for which of ``names`` a value stands before the span or behind it; ``known`` are all of the text."""
    if not names:
        return []
    first, stop = span
    before = {name for _, end, name in known if end <= first}
    behind = {name for begin, _, name in known if begin >= stop}
    return [f"k{sign}{name}" for name in names for sign, there in (("<", before), (">", behind)) if name in there]


def _padded(words: Words) -> tuple[list[str], list[str]]:
    edge = [_EDGE, _EDGE]
    return [*edge, *words.folded, *edge], [*edge, *words.shapes, *edge]
