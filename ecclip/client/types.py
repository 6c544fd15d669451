"""What is asked and what is answered; the limits of one question."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

IMAGE_BYTES = 8 * 1024 * 1024
TITLE_BYTES = 64 * 1024
MESSAGE_BYTES = 32 * 1024 * 1024
MAX_BATCH = 32


@dataclass(frozen=True)
class Product:
    """One listing to be understood: a photo (a file in one of ``ecclip.product_input.FORMATS``), a title, or both."""

    image: bytes | None = None
    title: str | None = None


@dataclass(frozen=True)
class Answer:
    """What the live bundle says about one listing; when ``error`` is not empty the rest says nothing.

    ``categories`` are paths root -> leaf, best first, with probabilities beside them. ``attributes`` is
    ``{name: {"value": str, "score": float}}``. ``decisions`` is ``auto`` or ``review`` for every task, and ``unknown``
    for one that no label ever taught: then there are no categories, an attribute's value and score are None, and
    ``age_restricted`` is None.
    ``embedding`` is float32 [d] of length 1. ``lineage`` leads back to the bundle.
    """

    categories: list[tuple[str, ...]] = field(default_factory=list)
    category_scores: list[float] = field(default_factory=list)
    attributes: dict[str, dict[str, Any]] = field(default_factory=dict)
    age_restricted: float | None = None
    decisions: dict[str, str] = field(default_factory=dict)
    embedding: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))
    lineage: str = ""
    error: str = ""
