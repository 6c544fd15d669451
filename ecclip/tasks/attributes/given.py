"""Attributes whose options a file of the shop names, as a bundle answers them: where they apply, names in languages.

Needs the standard library only; the file travels in the bundle.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ecclip.tasks.names import spoken_tag


class GivenOptions:
    """The part ``options`` of heads.json: by attribute its categories, and the names of its options by language."""

    def __init__(self, described: Mapping[str, Any]) -> None:
        self._attributes: dict[str, Mapping[str, Any]] = dict(described.get("attributes") or {})

    @property
    def attributes(self) -> frozenset[str]:
        """Return the attributes."""
        return frozenset(self._attributes)

    def asked(self, paths: Sequence[Sequence[str]], scores: Sequence[float]) -> frozenset[str]:
        """Return the attributes that apply to likelier categories than not, of ``paths`` with their ``scores``.

        Where no category is answered, nothing speaks against any of them.
        """
        return frozenset(name for name in self._attributes if self._applies(name, paths, scores))

    def named(self, attribute: str, option: str, language: str | None) -> str:
        """Return the name of an option in a language, by its tag; the option itself where the file has none."""
        names: Mapping[str, str] = self._attributes.get(attribute, {}).get("names", {}).get(option, {})
        tag = spoken_tag(language, names)
        return option if tag is None else names[tag]

    def _applies(self, name: str, paths: Sequence[Sequence[str]], scores: Sequence[float]) -> bool:
        own = [tuple(path) for path in self._attributes[name]["categories"]]
        if not own or not paths:
            return True
        inside = [any(tuple(path[: len(one)]) == one for one in own) for path in paths]
        return 2 * sum(score for score, is_in in zip(scores, inside, strict=True) if is_in) >= sum(scores)
