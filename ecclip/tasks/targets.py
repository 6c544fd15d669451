"""Which heads a snapshot can teach: label lists and the class number of every listing."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from ecclip.tasks.config import EvaluateConfig
from ecclip.tasks.decision import AGE_RESTRICTED, ATTRIBUTE_PREFIX, CATEGORY
from ecclip.tasks.rows import Rows

UNKNOWN = -2  # nobody said what is true
OUTSIDE = -1  # a label that no head knows: every answer to it is wrong


@dataclass(frozen=True)
class Target:
    """One task: its label list and int64 [N] class numbers, OUTSIDE or UNKNOWN where there is none."""

    name: str
    kind: str
    labels: list[Any]
    y: np.ndarray


def find_targets(rows: Rows, cfg: EvaluateConfig) -> list[Target]:
    """Return the category, attribute and age targets in the order of the logits; age is always the last."""
    category = _category(rows, cfg)
    age = np.where(rows.age < 0, UNKNOWN, rows.age)
    return [*category, *_attributes(rows, cfg), Target(AGE_RESTRICTED, "sigmoid", [AGE_RESTRICTED], age)]


def _category(rows: Rows, cfg: EvaluateConfig) -> list[Target]:
    train = rows.split == "train"
    counts = Counter(path for path, used in zip(rows.categories, train, strict=True) if path and used)
    labels = sorted(path for path, count in counts.items() if count >= cfg.category_min_count)
    if not labels:
        return []
    number = {path: index for index, path in enumerate(labels)}
    y = [UNKNOWN if path is None else number.get(path, OUTSIDE) for path in rows.categories]
    return [Target(CATEGORY, "softmax", [list(path) for path in labels], np.array(y))]


def _attributes(rows: Rows, cfg: EvaluateConfig) -> list[Target]:
    train = [given for given, used in zip(rows.attributes, rows.split == "train", strict=True) if given and used]
    names = Counter(name for given in train for name in given)
    frequent = [name for name, count in names.items() if count >= cfg.attribute_min_count]
    targets: list[Target] = []
    for name in sorted(frequent, key=lambda name: (-names[name], name)):
        labels = _values(name, train, cfg)
        if labels and len(targets) < cfg.max_attributes:
            targets.append(Target(f"{ATTRIBUTE_PREFIX}{name}", "softmax", labels, _numbers(name, labels, rows)))
    return sorted(targets, key=lambda target: target.name)


def _values(name: str, train: list[dict[str, str]], cfg: EvaluateConfig) -> list[str | None]:
    """Return the labels of an attribute, None (not present) first; nothing where its values are too scattered."""
    counts = Counter(given[name] for given in train if name in given)
    known = [value for value, count in counts.items() if count >= cfg.attribute_value_min_count]
    kept = sorted(known, key=lambda value: (-counts[value], value))[: cfg.attribute_max_values]
    covered = sum(counts[value] for value in kept) / max(sum(counts.values()), 1)
    absent = sum(name not in given for given in train) >= cfg.attribute_value_min_count
    labels: list[str | None] = [*([None] if absent else []), *sorted(kept)]
    return labels if kept and len(labels) >= 2 and covered >= cfg.attribute_min_share else []


def _numbers(name: str, labels: list[str | None], rows: Rows) -> np.ndarray:
    """Absence is only known where a listing gives other attributes."""
    number = {value: index for index, value in enumerate(labels)}
    y = [UNKNOWN if not given else number.get(given.get(name), OUTSIDE) for given in rows.attributes]
    return np.array(y, dtype=np.int64)
