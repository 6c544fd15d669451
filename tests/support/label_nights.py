"""A shop of eight kinds of products whose labels change, and bundles that know them well or badly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from bundles import DIM, Taught, packed_evidence, write_bundle

from ecclip import registry
from ecclip.formats.bundle import Bundle
from ecclip.formats.report import Rescored
from ecclip.tasks import Measured, read_evidence

Path8 = Sequence[list[str]]  # the category of each kind
KINDS = 8
LISTINGS = 240
BASE: Path8 = [
    ["home", "mugs"], ["home", "mugs"], ["home", "lamps"], ["home", "rugs"],
    ["garden", "pots"], ["garden", "pots"], ["garden", "tools"], ["garden", "seeds"],
]  # fmt: skip
COLOURS = ["red", "red", "blue", "navy", None, "green", "green", "blue"]


def changed(base: Path8, **kinds: list[str]) -> Path8:
    """Return categories of which those of some kinds are others: ``k0=["home", "mugs", "travel"]``."""
    return [kinds.get(f"k{kind}", path) for kind, path in enumerate(base)]


def labelled_bundle(
    folder: Path,
    night: str,
    categories: Path8 = BASE,
    confused: Mapping[int, int] | None = None,
    colours: Sequence[str | None] = COLOURS,
) -> Path:
    """Write a bundle that was taught these labels, and takes ``confused`` kinds for others; its claims are true.

    Of its test listings one in ten looks like another kind than it is.
    """
    taught = _taught({"category": categories, "attribute:color": colours}, confused or {}, categories)
    draft = Bundle(folder / "draft")
    taught.write(draft, "0" * 64)
    found = Measured(draft.folder).findings
    return write_bundle(folder / "bundle", night, found.metrics, sum(map(ord, night)), found.rows, taught)


def registered(folder: Path, night: str, *labels: Any, **more: Any) -> str:
    """Register the bundle that :func:`labelled_bundle` writes; return its version."""
    place = folder / f"{night}-{len(list(folder.iterdir()))}"
    return registry.register(labelled_bundle(place, night, *labels, **more), night).version


def score(challenger: Path, other: Path | None) -> Rescored:
    """Return what two bundles answer to the listings of the first: all towers of this shop see the same."""
    measured = Measured(challenger)
    if other is None:
        return Rescored(ours=measured.findings.metrics, theirs={}, cells=measured.beside_frozen)
    evidence = read_evidence(challenger)
    return measured.beside(other, evidence["image"], evidence["text"])


def _taught(labels: Mapping[str, Sequence[Any]], confused: Mapping[int, int], categories: Path8) -> Taught:
    listed = {name: _distinct(values) for name, values in labels.items()}
    columns = [
        np.eye(len(listed[name]))[[listed[name].index(values[confused.get(kind, kind)]) for kind in range(KINDS)]]
        for name, values in labels.items()
    ]
    one = 8.0 * np.concatenate(columns, axis=1)  # [KINDS, C]
    nothing = np.zeros_like(one)
    weight = np.array([np.concatenate(pair) for pair in ((one, nothing), (nothing, one), (one, one))], np.float32)
    kinds = np.arange(LISTINGS) % KINDS
    looks = np.where(np.arange(LISTINGS) % 10 == 3, (kinds + 3) % KINDS, kinds)
    truth = np.array([[listed[name].index(values[kind]) for kind in kinds] for name, values in labels.items()])
    evidence = packed_evidence(
        [categories[kind] for kind in kinds], np.eye(DIM, dtype=np.float32)[looks], truth, LISTINGS
    )
    return Taught(listed, weight, np.zeros((3, weight.shape[2]), np.float32), evidence)


def _distinct(values: Sequence[Any]) -> list[Any]:
    distinct = [one for number, one in enumerate(values) if one not in values[:number]]
    return sorted(distinct, key=lambda one: (one is not None, one))
