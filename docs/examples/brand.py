"""Brand recognition: a sixth task, in one file. ``docs/how-to/add-a-task.md`` walks through it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ecclip.tasks.kinds.task import NO_LABEL, OUTSIDE, Limit, Target, Task

if TYPE_CHECKING:
    from ecclip.tasks.config import EvaluateConfig
    from ecclip.tasks.rows import Rows


class Brand(Task):
    """One head over the brands that are frequent enough in split train; a listing without one teaches nothing."""

    name = "brand"
    title = "Brand"
    columns = ("brand",)
    gate: ClassVar = {"both/accuracy": Limit(floor=0.3)}  # by judgment: far below what the demo's towers reach
    headline = (("right answers", "accuracy"), ("macro F1 over brands", "macro_f1"))
    no_head = "no brand has enough train listings"
    min_listings = 8  # by judgment: as for the values of an attribute

    def targets(self, rows: Rows, cfg: EvaluateConfig) -> list[Target]:
        """Return the only target; a rare brand is OUTSIDE, so that every answer to it counts as wrong."""
        brands, train = rows.given["brand"], rows.split == "train"
        counts = Counter(brand for brand, used in zip(brands, train, strict=True) if brand and used)
        labels = sorted(brand for brand, count in counts.items() if count >= self.min_listings)
        if len(labels) < 2:
            return []
        number = {brand: index for index, brand in enumerate(labels)}
        y = [number.get(brand, OUTSIDE) if brand else NO_LABEL for brand in brands]
        return [Target(self.name, self.name, "softmax", labels, np.array(y, dtype=np.int64))]


TASK = Brand()
