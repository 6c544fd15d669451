"""Specs as they come: the values that a listing states, those known to be absent, and what it says nothing about.

Three things that a table of specs may say of an attribute are kept apart: a value (or several), that there is none
("n/a"), and that nobody knows ("unknown", a dash), which is as good as no line at all.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from ecclip.product_input import spell_units

# what says in a shop's specs that the attribute does not apply; "no" is not among them: it is an answer
_ABSENT = {
    "n/a", "n\\a", "n.a.", "na", "none", "nil", "not applicable", "does not apply", "doesn't apply", "nicht zutreffend",
    "entfällt", "sans objet", "non applicable", "no aplica", "não se aplica", "non applicabile", "n.v.t.",
    "niet van toepassing", "nie dotyczy", "ej tillämpligt", "tidak ada", "해당 없음", "해당없음", "不适用", "無", "无",
    "なし", "該当なし", "не применимо",
}  # fmt: skip
_UNSTATED = {
    "-", "--", "---", "\u2013", "\u2014", "?", ".", "unknown", "unspecified", "not specified", "not available",
    "not known", "no data", "null", "nan", "tbd", "tba", "unbekannt", "keine angabe", "k.a.", "inconnu", "non spécifié",
    "desconocido", "sconosciuto", "onbekend", "okänd", "미상", "알 수 없음", "未知", "不明", "неизвестно",
}  # fmt: skip
_DEPTH = 3  # levels of a spec inside a spec that are read; by judgment


def stated(specs: Iterable[tuple[str, str]] | None) -> dict[str, tuple[str, ...]] | None:
    """Return by attribute the values that a listing states, none where it is said to be absent; None without specs.

    A value that is a JSON list is several values, one that is an object is specs by itself: ``Size: {"Height": 3}``
    becomes ``Size Height``. Amounts are in one spelling, as in titles.
    """
    if not specs:
        return None
    found: dict[str, dict[str, None]] = {}
    for name, value in specs:
        for part, text in _flat(name, value, _DEPTH):
            plain = " ".join(text.split()).casefold()
            if plain and plain not in _UNSTATED:
                values = found.setdefault(part, {})
                values |= {} if plain in _ABSENT else {spell_units(text): None}
    return {name: tuple(values) for name, values in found.items()}


def _flat(name: str, value: Any, depth: int) -> Iterator[tuple[str, str]]:
    given = _parsed(value) if isinstance(value, str) else value
    if isinstance(given, dict) and depth:
        amount = _amount(given)
        for key, inner in ((None, amount),) if amount else given.items():
            yield from _flat(name if key is None else f"{name} {key}", inner, depth - 1)
    elif isinstance(given, list) and depth:
        for inner in given:
            yield from _flat(name, inner, depth - 1)
    elif given is not None:
        yield name, given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)


def _parsed(text: str) -> Any:
    """Return the list or object that a text is in JSON, any other text as it is."""
    if text[:1] + text[-1:] not in ("[]", "{}"):
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _amount(given: dict[str, Any]) -> str:
    """Return a number and its unit as one text, empty where the object is something else."""
    keys = {str(key).casefold(): key for key in given}
    if keys.keys() == {"value", "unit"}:
        return f"{given[keys['value']]} {given[keys['unit']]}"
    return ""
