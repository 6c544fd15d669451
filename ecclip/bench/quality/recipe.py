"""What the recipe's choices are worth in the heads: what they read, how photo and title meet, at which size photos are.

Heads are fitted and chosen as the stage evaluate does it, on the products of one set at a time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ecclip.bench.quality.cache import kept
from ecclip.bench.quality.cells import Answered, Cell, cells_of, enter_cells
from ecclip.bench.quality.data import Product
from ecclip.bench.quality.evaluated import groups_of, outputs_of, right_answers, rows_of, target_of
from ecclip.bench.quality.gain import difference, ratio
from ecclip.bench.result import Result, Row
from ecclip.model import Towers
from ecclip.tasks import EvaluateConfig
from ecclip.tasks.kinds.task import NO_LABEL
from ecclip.train import TrainerConfig

SIZES = (128, 160, 224)  # of photos, pixels


def recipe_variants(recipe: TrainerConfig) -> dict[str, TrainerConfig]:
    """Return trainings that differ from the recipe in what is kept of them, and in which layers learn how much."""
    gentle = replace(recipe.optimizer, layer_decay=0.6)
    return {
        "all of the training is kept": replace(recipe, weight_interpolation=0.0),
        "half of the start is kept": replace(recipe, weight_interpolation=0.5),
        "a moving average is kept": replace(recipe, weight_interpolation=0.0, average_decay=0.95),
        "layer decay 0.6": replace(recipe, optimizer=gentle),
        "frozen image tower": replace(recipe, optimizer=replace(recipe.optimizer, freeze=("image_encoder.tower",))),
    }


def enter_recipe(
    result: Result,
    folder: Path,
    products: Sequence[Product],
    towers: Mapping[str, Towers],
    probes: Sequence[tuple[str, str]],
) -> None:
    """Enter the heads' accuracy in every cell, what the first of the choices gains over the others, and how cells end.

    Args:
        result: gets the rows.
        folder: keeps what the towers gave out and which answers were right.
        products: of all sets.
        towers: by name: the trained ones first, then those that they are compared with.
        probes: pairs of set and label.
    """
    sizes = sorted({*SIZES, *(one.photo_size for one in towers.values())})
    found = {name: outputs_of(folder / name, one, products, sizes) for name, one in towers.items()}
    own, cfg = next(iter(towers.values())).photo_size, EvaluateConfig()
    ours, *others = towers
    cells: list[Cell] = []
    for source, label in probes:
        chosen = np.flatnonzero([one.source == source for one in products])
        own_products = [products[int(row)] for row in chosen]
        target, split = target_of(own_products, label, NO_LABEL), [one.split for one in own_products]
        hits: dict[str, Answered] = {}
        for name, size in ((name, size) for name in towers for size in (own, *(one for one in sizes if one != own))):
            outputs = {key: values[chosen] for key, values in found[name].items()}
            rows = rows_of(own_products, outputs, size, towers[name].cfg.embedding_dim, split)
            systems = {"": cfg} if hits else _readings(label)
            for what, choice in systems.items():
                system = f"{name}, {size} px{what and ', '}{what}"
                file = folder / "answers" / f"{source}-{label} {system}.npz"
                found_hits = kept(file, partial(right_answers, rows, target, choice))
                hits[system] = Answered(*(_of_split(found_hits, split) for split in ("test", "validation")))
        groups = groups_of(own_products)
        _enter(result, f"{source}, {label}", {name: one.test for name, one in hits.items()}, groups)
        frozen = {name: one for name, one in hits.items() if name.startswith(tuple(f"{other}, " for other in others))}
        cells += cells_of(f"{source}, {label}", hits[f"{ours}, {own} px"], frozen, groups)
    enter_cells(result, cells)


def _readings(label: str) -> dict[str, EvaluateConfig]:
    """Return what heads may read and how photo and title may meet; the default first."""
    choices: dict[str, dict[str, Any]] = {
        "": {},
        "embedding alone": {"features": {label: "embedding"}},
        "features alone": {"features": {label: "towers"}},
        "photo and title at once": {"fusion": "joint"},
        "photo and title weighed": {"fusion": "stacked"},
    }
    return {name: EvaluateConfig(heads=heads) for name, heads in choices.items()}


def _of_split(found: Mapping[str, np.ndarray], split: str) -> dict[str, np.ndarray]:
    return {name.removeprefix(f"{split} "): right for name, right in found.items() if name.startswith(f"{split} ")}


def _enter(result: Result, cell: str, hits: Mapping[str, Mapping[str, np.ndarray]], groups: np.ndarray) -> None:
    """Enter every system, and what the first one gains over it, paired by listing."""
    first = next(iter(hits.values()))
    for system, found in hits.items():
        for modality, right in found.items():
            asked = ~np.isnan(right) & ~np.isnan(first[modality])
            ones = np.ones(int(asked.sum()))
            value = ratio(right[asked], ones, groups[asked])
            _row(result, f"heads, {modality}, {cell}", system, value, len(ones))
            if found is not first:
                gain = difference((first[modality][asked], ones), (right[asked], ones), groups[asked])
                _row(result, f"gain of the recipe's heads, {modality}, {cell}", f"over {system}", gain, len(ones))


def _row(result: Result, what: str, system: str, value: tuple[float, float, float], count: int) -> None:
    mean, low, high = (round(one, 4) for one in value)
    result.rows.append(Row(what, system, mean, "share", low, high, count))
