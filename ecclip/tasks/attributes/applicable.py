"""Which attributes a category has: learnt from what the listings of a shop state, asked before any of them is answered.

Needs the standard library only; the file travels in the bundle.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Path = tuple[str, ...]


@dataclass(frozen=True)
class Asked:
    """The attributes that a listing is asked for.

    ``learnt`` are those that apply as the shop's listings show it, None for all; of an attribute in ``given`` a file
    has said whether it applies.
    """

    learnt: frozenset[str] | None
    given: Mapping[str, bool] = field(default_factory=dict)

    def __contains__(self, name: object) -> bool:
        """Say whether a listing is asked for an attribute."""
        if isinstance(name, str) and name in self.given:
            return self.given[name]
        return self.learnt is None or name in self.learnt


class Applicable:
    """The names that apply by category, as :func:`learn_applicable` puts them down; without any, all names apply."""

    def __init__(self, nodes: Sequence[Mapping[str, Any]] = ()) -> None:
        self._names = {tuple(node["path"]): frozenset(node["names"]) for node in nodes}

    def of(self, path: Sequence[str] | None) -> frozenset[str] | None:
        """Return the names that apply to a category: those of the deepest level that is known; None stands for all."""
        return _deepest(self._names, tuple(path or ()))

    def asked(self, paths: Sequence[Sequence[str]], scores: Sequence[float]) -> frozenset[str] | None:
        """Return the names that apply to likelier categories than not, of ``paths`` with their ``scores``.

        Where no category is answered, those that apply to the whole shop; None stands for all.
        """
        if not self._names or not paths:
            return self.of(())
        mass: dict[str, float] = defaultdict(float)
        for path, score in zip(paths, scores, strict=True):
            for name in self.of(path) or ():
                mass[name] += score
        return frozenset(name for name, found in mass.items() if 2 * found >= sum(scores))


def learn_applicable(
    listings: Iterable[tuple[Path | None, Collection[str]]], least_listings: int, least_count: int, least_share: float
) -> list[dict[str, Any]]:
    """Return the nodes that :class:`Applicable` takes, from the category and the stated names of training listings.

    A level of the taxonomy is known from ``least_listings`` with specs on; the root always is. A name applies there if
    at least ``least_count`` of them, and a share of ``least_share``, state it. Levels that say the same as the one
    above them are left out.
    """
    listings_of: Counter[Path] = Counter()
    counts: dict[Path, Counter[str]] = defaultdict(Counter)
    for path, names in listings:
        for depth in range(len(path or ()) + 1):
            listings_of[(path or ())[:depth]] += 1
            counts[(path or ())[:depth]].update(list(names))
    nodes: dict[Path, frozenset[str]] = {}
    for path in sorted(listings_of, key=lambda path: (len(path), path)):
        if path and listings_of[path] < least_listings:
            continue
        least = max(least_count, least_share * listings_of[path]) if path else 1
        names = frozenset(name for name, count in counts[path].items() if count >= least)
        if not path or names != _deepest(nodes, path):
            nodes[path] = names
    return [{"path": list(path), "names": sorted(names)} for path, names in nodes.items()]


def _deepest(nodes: Mapping[Path, frozenset[str]], path: Path) -> frozenset[str] | None:
    return next((nodes[path[:depth]] for depth in range(len(path), -1, -1) if path[:depth] in nodes), None)
