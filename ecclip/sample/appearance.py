"""Everything that decides how one product looks, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Appearance:
    """A product as the drawing code sees it; ``key`` seeds its own proportions, so that no two are quite alike."""

    key: str
    leaf: str
    color: str
    second: str
    pattern: str
    material: str
    kind: str
    brand: str
    model: str
