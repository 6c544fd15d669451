"""Attributes: one head per attribute whose values can be listed (colour, material, ...), "not present" among its
answers; values that cannot be listed are read out of the texts (``ecclip.tasks.attributes``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ecclip.tasks.attributes.given import GivenOptions
from ecclip.tasks.kinds.task import NO_LABEL, OUTSIDE, HeadScores, Query, Target, Task, in_words
from ecclip.tasks.scores import plain

if TYPE_CHECKING:
    from ecclip.tasks.config import AttributesConfig, EvaluateConfig
    from ecclip.tasks.report.classes import ScoredHead
    from ecclip.tasks.report.findings import Findings
    from ecclip.tasks.rows import Rows

_PREFIX = "attribute:"
_Known = tuple[Mapping[str, tuple[str, ...]], "frozenset[str] | None"]  # what a listing states, what applies to it


class Attributes(Task):
    """Heads of the attribute names that are frequent enough in split train; each is named ``attribute:<name>``."""

    name = "attributes"
    title = "Attributes"
    columns = ("attributes", "category", "description")
    outputs = ("ATTRIBUTES",)
    headline = (("right where a value is present", "present_accuracy"),)
    note = (
        "Share of right answers, “not present” among them, for every attribute that is frequent enough. "
        "Absent is what specs call n/a; where none does, what they are silent about though it applies to the category."
    )
    no_head = "no attribute is frequent enough"

    def targets(self, rows: Rows, cfg: EvaluateConfig) -> list[Target]:
        """Return a target per attribute with values that can be listed, by name, and those that a file gives options.

        Where specs teach an attribute its options are none of it.
        """
        from ecclip.tasks.attributes.applicable import Applicable
        from ecclip.tasks.attributes.from_rows import applicable_nodes, stated_of
        from ecclip.tasks.attributes.given_targets import given_targets

        given = stated_of(rows)
        applicable = Applicable(applicable_nodes(rows, given, cfg.attributes))
        paths = rows.given.get("category") or [None] * len(given)
        known = [
            (found, applicable.of(path)) if found is not None else None
            for found, path in zip(given, paths, strict=True)
        ]
        train = [one for one, used in zip(known, rows.split == "train", strict=True) if one and used]
        names = Counter(name for found, _ in train for name in found)
        frequent = [name for name, count in names.items() if count >= cfg.attributes.min_count]
        targets: list[Target] = []
        for name in sorted(frequent, key=lambda name: (-names[name], name)):
            labels = _labels(name, train, cfg.attributes)
            if labels and len(targets) < cfg.attributes.max_heads:
                y = _class_numbers(name, labels, known, silent=not _says_absence(name, train, cfg.attributes))
                targets.append(Target(self.name, f"{_PREFIX}{name}", "softmax", labels, y))
        learnt = [target.name.removeprefix(_PREFIX) for target in targets]
        return sorted([*targets, *given_targets(rows, given, learnt)], key=lambda target: target.name)

    def prompt(self, target: Target, label: Any) -> str | None:
        """Return the attribute with its value, None for "not present"."""
        from ecclip.formats.embeddings import attribute_prompt

        return None if label is None else attribute_prompt(target.name.removeprefix(_PREFIX), label)

    def answer(self, heads: Sequence[HeadScores], query: Query, top_k: int) -> dict[str, Any]:
        """Return name -> value and score of each attribute that is asked for.

        A value of None is "not present" with a score, and unknown without. An open value has the text it stands in, and
        an option that nothing was learnt for is marked ``zero_shot``.
        """
        found: dict[str, Any] = dict(query.open_values)
        for head in heads:
            name = head.name.removeprefix(_PREFIX)
            if head.scores is None:
                found[name] = {"value": None, "score": None}
                continue
            top = int(np.argmax(head.scores))
            found[name] = {"value": head.labels[top], "score": plain(head.scores[top])}
            found[name] |= {"zero_shot": True} if head.zero_shot else {}
        return {"ATTRIBUTES": found}

    def prepare(self, head: Mapping[str, Any], heads: Mapping[str, Any]) -> GivenOptions:
        """Return the names of the options that a file gives."""
        return GivenOptions(heads.get("options") or {})

    def in_language(self, outputs: Mapping[str, Any], kept: Sequence[Any], language: str | None) -> dict[str, Any]:
        """Return the attributes with options in a language, as far as the file that gives them has their names."""
        if not kept or language is None:
            return {}
        given: GivenOptions = kept[0]
        return {
            "ATTRIBUTES": {
                name: one | {"value": given.named(name, one["value"], language)} if one.get("zero_shot") else one
                for name, one in outputs["ATTRIBUTES"].items()
            }
        }

    def in_words(self, outputs: Mapping[str, Any]) -> str:
        """Return each attribute that is present or unknown."""
        found = {
            name: one for name, one in outputs["ATTRIBUTES"].items() if one["value"] is not None or one["score"] is None
        }
        said = {
            name: in_words(one["value"], one["score"], "zero-shot" if one.get("zero_shot") else None)
            for name, one in found.items()
        }
        return ", ".join(f"{name} {words}" for name, words in said.items()) or "-"

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


def _labels(name: str, train: Sequence[_Known], cfg: AttributesConfig) -> list[str | None]:
    """Return the labels of an attribute, None (not present) first; nothing where its values are too scattered."""
    given = [found[name] for found, _ in train if found.get(name)]
    counts = Counter(value for values in given for value in values)
    known = [value for value, count in counts.items() if count >= cfg.min_value_count]
    kept = sorted(known, key=lambda value: (-counts[value], value))[: cfg.max_values]
    covered = sum(any(value in kept for value in values) for values in given) / max(len(given), 1)
    silent = not _says_absence(name, train, cfg)
    absent = sum(_is_absent(name, one, silent) for one in train) >= cfg.min_value_count
    labels: list[str | None] = [*([None] if absent else []), *sorted(kept)]
    return labels if kept and len(labels) >= 2 and covered >= cfg.min_coverage else []


def _says_absence(name: str, train: Sequence[_Known], cfg: AttributesConfig) -> bool:
    """Return whether the shop's specs say of this attribute that there is none: then silence says nothing."""
    return sum(found.get(name) == () for found, _ in train) >= cfg.min_value_count


def _is_absent(name: str, known: _Known, silent: bool) -> bool:
    """Return whether an attribute is known to be absent: by the specs, or by their silence where it would apply."""
    found, applies = known
    if name in found:
        return not found[name]
    return silent and bool(found) and (applies is None or name in applies)


def _class_numbers(
    name: str, labels: list[str | None], listings: Sequence[_Known | None], *, silent: bool
) -> np.ndarray:
    """Return int64 [N]; of what is neither stated nor known to be absent there is no label."""
    number = {value: index for index, value in enumerate(labels)}

    def number_of(known: _Known | None) -> int:
        if known is None:
            return NO_LABEL
        values = known[0].get(name)
        if values:
            return min((number[value] for value in values if value in number), default=OUTSIDE)
        return number.get(None, OUTSIDE) if _is_absent(name, known, silent) else NO_LABEL

    return np.array([number_of(known) for known in listings], dtype=np.int64)


def _is_present(entry: ScoredHead) -> np.ndarray:
    absent = [index for index, label in enumerate(entry.target.labels) if label is None]
    return ~np.isin(entry.truth, absent)


TASK = Attributes()
