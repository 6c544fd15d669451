"""Attributes: one head per attribute name (colour, material, ...), "not present" among its answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ecclip.tasks.kinds.task import NO_LABEL, OUTSIDE, HeadScores, Query, Target, Task, in_words
from ecclip.tasks.scores import plain

if TYPE_CHECKING:
    from ecclip.tasks.config import EvaluateConfig
    from ecclip.tasks.report.classes import ScoredHead
    from ecclip.tasks.report.findings import Findings
    from ecclip.tasks.rows import Rows

_PREFIX = "attribute:"


class Attributes(Task):
    """Heads of the attribute names that are frequent enough in split train; each is named ``attribute:<name>``."""

    name = "attributes"
    title = "Attributes"
    columns = ("attributes",)
    outputs = ("ATTRIBUTES",)
    headline = (("right where a value is present", "present_accuracy"),)
    note = (
        "Share of right answers, “not present” among them, for every attribute that is frequent enough. "
        "Absence counts only where a listing gives other attributes."
    )
    no_head = "no attribute is frequent enough"

    def targets(self, rows: Rows, cfg: EvaluateConfig) -> list[Target]:
        """Return a target per attribute, by name."""
        given = [dict(pairs) if pairs else None for pairs in rows.given["attributes"]]
        train = [found for found, used in zip(given, rows.split == "train", strict=True) if found and used]
        names = Counter(name for found in train for name in found)
        frequent = [name for name, count in names.items() if count >= cfg.attributes.min_count]
        targets: list[Target] = []
        for name in sorted(frequent, key=lambda name: (-names[name], name)):
            labels = _values(name, train, cfg)
            if labels and len(targets) < cfg.attributes.max_heads:
                y = _class_numbers(name, labels, given)
                targets.append(Target(self.name, f"{_PREFIX}{name}", "softmax", labels, y))
        return sorted(targets, key=lambda target: target.name)

    def prompt(self, target: Target, label: Any) -> str | None:
        """Return the attribute with its value, None for "not present"."""
        from ecclip.formats.embeddings import attribute_prompt

        return None if label is None else attribute_prompt(target.name.removeprefix(_PREFIX), label)

    def answer(self, heads: Sequence[HeadScores], query: Query, top_k: int) -> dict[str, Any]:
        """Return name -> value and score of what is present; of what is unknown both are None."""
        found: dict[str, Any] = {}
        for head in heads:
            name = head.name.removeprefix(_PREFIX)
            if head.scores is None:
                found[name] = {"value": None, "score": None}
                continue
            top = int(np.argmax(head.scores))
            if head.labels[top] is not None:
                found[name] = {"value": head.labels[top], "score": plain(head.scores[top])}
        return {"ATTRIBUTES": found}

    def in_words(self, outputs: Mapping[str, Any]) -> str:
        """Return each attribute that is present or unknown."""
        found = outputs["ATTRIBUTES"].items()
        return ", ".join(f"{name} {in_words(one['value'], one['score'])}" for name, one in found) or "-"

    def counted(self, scored: ScoredHead) -> np.ndarray:
        """Return bool [M]: the listings that have the attribute."""
        return _is_present(scored)

    def report_together(
        self, scored: list[ScoredHead], rows: Rows, modality: str, cfg: EvaluateConfig, findings: Findings
    ) -> None:
        """Add ``attributes/<modality>/*``: all heads together, every (listing, attribute) one answer."""
        from ecclip.tasks.report.metrics import Bootstrap

        parts = [entry for entry in scored if len(entry.rows) and f"{entry.prefix}/accuracy" in findings.metrics]
        prefix = f"{self.name}/{modality}"
        if not parts:
            findings.add_missing(prefix, "no attribute is frequent enough, or no test listing gives one")
            return
        right = np.concatenate([entry.answer == entry.truth for entry in parts]).astype(np.float64)
        present = np.concatenate([_is_present(entry) for entry in parts]).astype(np.float64)
        groups = np.concatenate([rows.groups[entry.rows] for entry in parts])
        resample = Bootstrap(groups, cfg.bootstrap_rounds, cfg.seed)
        findings.rows[f"{prefix}/test"] = len(right)
        findings.add(f"{prefix}/accuracy", float(right.mean()), resample.mean(right))
        if present.any():
            value = float((right * present).sum() / present.sum())
            findings.add(f"{prefix}/present_accuracy", value, resample.ratio(right * present, present))
        scores = [findings.metrics[f"{entry.prefix}/macro_f1"] for entry in parts]
        findings.add(f"{prefix}/macro_f1", float(np.mean(scores)))


def _values(name: str, train: list[dict[str, str]], cfg: EvaluateConfig) -> list[str | None]:
    """Return the labels of an attribute, None (not present) first; nothing where its values are too scattered."""
    counts = Counter(given[name] for given in train if name in given)
    known = [value for value, count in counts.items() if count >= cfg.attributes.min_value_count]
    kept = sorted(known, key=lambda value: (-counts[value], value))[: cfg.attributes.max_values]
    covered = sum(counts[value] for value in kept) / max(sum(counts.values()), 1)
    absent = sum(name not in given for given in train) >= cfg.attributes.min_value_count
    labels: list[str | None] = [*([None] if absent else []), *sorted(kept)]
    return labels if kept and len(labels) >= 2 and covered >= cfg.attributes.min_coverage else []


def _class_numbers(name: str, labels: list[str | None], given: list[dict[str, str] | None]) -> np.ndarray:
    """Return int64 [N]; absence is only known where a listing gives other attributes."""
    number = {value: index for index, value in enumerate(labels)}
    y = [NO_LABEL if not found else number.get(found.get(name), OUTSIDE) for found in given]
    return np.array(y, dtype=np.int64)


def _is_present(entry: ScoredHead) -> np.ndarray:
    absent = [index for index, label in enumerate(entry.target.labels) if label is None]
    return ~np.isin(entry.truth, absent)


TASK = Attributes()
