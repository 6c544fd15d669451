"""In which labels two bundles differ, and which of these changes a person has accepted.

A change has a name, the same for the same change and another for any other: what is accepted by it lets no later one
pass. It begins a new history: champions from before it are no longer what a challenger is held against.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from ecclip.core import canonical_json, sha256_bytes
from ecclip.formats.bundle import Bundle

_DIGITS = 16  # of a change's name, hexadecimal: the length of a dump's fingerprint


@dataclass(frozen=True)
class LabelChange:
    """A change of labels by its name, and the heads and tasks that it concerns; without one both are empty."""

    name: str = ""
    concerns: frozenset[str] = frozenset()

    def touches(self, measured: str) -> bool:
        """Return whether a metric or a cell, ``category/both/top1`` or ``category/both``, rests on changed labels."""
        return any(measured.startswith(f"{one}/") for one in self.concerns)

    def is_accepted(self, measured: str, accepted: Mapping[str, Sequence[str]]) -> bool:
        """Return whether the change is accepted for a metric or a cell, by its name or a pattern."""
        wanted = accepted.get(self.name, ())
        return self.touches(measured) and any(measured == one or fnmatchcase(measured, one) for one in wanted)


NO_CHANGE = LabelChange()


def label_change(older: Path, newer: Path) -> LabelChange:
    """Return the change of labels from one bundle to another; the order of labels is none.

    Raises:
        IntegrityError: the description of a bundle's heads cannot be read.
    """
    before, now = _labels(older), _labels(newer)
    differing = sorted(name for name in {*before, *now} if before.get(name) != now.get(name))
    if not differing:
        return NO_CHANGE
    told = [[name, before.get(name), now.get(name)] for name in differing]
    tasks = {found[name][0] for found in (before, now) for name in differing if name in found}
    return LabelChange(sha256_bytes(canonical_json(told).encode())[:_DIGITS], frozenset({*differing, *tasks}))


def _labels(bundle: Path) -> dict[str, tuple[str, list[str]]]:
    """Return the task and the labels of each head by its name."""
    heads: list[dict[str, Any]] = Bundle(bundle).described_heads().get("heads", [])
    return {head["name"]: (head["task"], sorted(canonical_json(label) for label in head["labels"])) for head in heads}
