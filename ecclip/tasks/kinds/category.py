"""Category: the path root -> leaf of the shop's taxonomy, best first, from the deepest level that is certain."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from ecclip.tasks.kinds.task import NO_LABEL, OUTSIDE, HeadScores, Limit, Query, Target, Task, in_words
from ecclip.tasks.levels import LEAF, Levels
from ecclip.tasks.names import CategoryNames
from ecclip.tasks.scores import best, plain

if TYPE_CHECKING:
    from ecclip.tasks.config import EvaluateConfig
    from ecclip.tasks.report.classes import ScoredHead
    from ecclip.tasks.report.findings import Findings
    from ecclip.tasks.report.metrics import Bootstrap
    from ecclip.tasks.rows import Rows


class _Kept(NamedTuple):
    """Of the head: the levels above its labels, and the names of its categories."""

    levels: Levels
    names: CategoryNames


class Category(Task):
    """One head over the whole paths that are frequent enough in split train; a parent's score is that of its leaves.

    An answer whose leaf is not certain backs off to the deepest level above it that is.
    """

    name = "category"
    title = "Category"
    columns = ("category", "updated_at")
    evidence = ("category",)
    outputs = ("CATEGORY", "CATEGORY_SCORE", "CATEGORY_ID")
    # by judgment: what the demo's towers keep with room to spare; a shop sets its own (docs/gate.md)
    gate: ClassVar = {
        "both/top1": Limit(floor=0.3, allowed_drop=0.03),
        "image/top1": Limit(floor=0.15, allowed_drop=0.05),
        "text/top1": Limit(floor=0.25, allowed_drop=0.05),
    }
    accuracy = "top1"
    headline = (("right at the first answer", "top1"), ("macro F1 over paths", "macro_f1"))
    details = (
        ("among the first five", "top5"),
        *((f"right down to level {level}", f"level{level}") for level in range(1, 9)),
        *Task.details[1:],
        *((f"of those, answered with level {level} alone", f"backed_off_to_level{level}") for level in range(1, 9)),
    )
    no_head = "no category path has enough train listings"

    def targets(self, rows: Rows, cfg: EvaluateConfig) -> list[Target]:
        """Return the only target; a path that is rare in train is OUTSIDE."""
        paths = [tuple(path) if path else None for path in rows.given["category"]]
        train = rows.split == "train"
        counts = Counter(path for path, used in zip(paths, train, strict=True) if path and used)
        labels = sorted(path for path, count in counts.items() if count >= cfg.category.min_count)
        if not labels:
            return []
        number = {path: index for index, path in enumerate(labels)}
        y = [NO_LABEL if path is None else number.get(path, OUTSIDE) for path in paths]
        return [Target(self.name, self.name, "softmax", [list(path) for path in labels], np.array(y))]

    def true_paths(self, rows: Rows) -> list[Any] | None:
        """Return the paths of the snapshot, as far as the rows have them."""
        return rows.given.get("category")

    def prompt(self, target: Target, label: Any) -> str | None:
        """Return the leaf as a kind of what stands above it."""
        from ecclip.formats.embeddings import category_prompt

        return category_prompt(label)

    def prepare(self, head: Mapping[str, Any], heads: Mapping[str, Any]) -> _Kept:
        """Return the levels above the labels, and the names of the bundle's taxonomy."""
        return _Kept(Levels(head["labels"]), CategoryNames(heads.get("taxonomy") or {}))

    def is_auto(self, scored: HeadScores) -> bool:
        """Return whether the leaf is certain, or any level above it."""
        return scored.certain or _backed_off(scored)[0] != LEAF

    def answer(self, heads: Sequence[HeadScores], query: Query, top_k: int) -> dict[str, Any]:
        """Return at most ``top_k`` paths with their probabilities and ids; none where the category is unknown.

        The first is the answer: the deepest category that is certain, or the best leaf where none is. The best leaves
        follow. Names are in the taxonomy's first language, ids its own, if there is one.
        """
        if not heads or heads[0].scores is None:
            return {"CATEGORY": [], "CATEGORY_SCORE": [], "CATEGORY_ID": []}
        found = _ranked(heads[0], top_k)
        names: CategoryNames = heads[0].kept.names
        ids = [names.id_of(path) for path, _ in found]
        return {
            "CATEGORY": [list(path) for path, _ in found],
            "CATEGORY_SCORE": [plain(score) for _, score in found],
            "CATEGORY_ID": ids if all(ids) else [],
        }

    def in_language(self, outputs: Mapping[str, Any], kept: Sequence[Any], language: str | None) -> dict[str, Any]:
        """Return the paths in a language, as far as the taxonomy has it."""
        if not kept or language is None:
            return {}
        names: CategoryNames = kept[0].names
        return {"CATEGORY": [names.path(tuple(path), language) for path in outputs["CATEGORY"]]}

    def in_words(self, outputs: Mapping[str, Any]) -> str:
        """Return the first path with its probability, and the first category without examples that is suggested."""
        first = zip(outputs["CATEGORY"], outputs["CATEGORY_SCORE"], strict=True)
        path, score = next(first, (None, None))
        said = in_words(path, score, outputs["DECISION"].get(self.name))
        suggested = next(iter(outputs.get("CATEGORY_SUGGESTED") or ()), None)
        return said if suggested is None else f"{said}; zero-shot: {' > '.join(suggested['path'])}"

    def report(
        self, scored: ScoredHead, rows: Rows, resample: Bootstrap, cfg: EvaluateConfig, findings: Findings
    ) -> None:
        """Add top1, macro F1, top5, and whether the answer is right down to each level."""
        super().report(scored, rows, resample, cfg, findings)
        self._levels(scored, rows, resample, findings)

    def truth(self, scored: ScoredHead, rows: Rows, place: int) -> list[str]:
        """Return the true path, which may be one that no head knows."""
        return list(rows.given["category"][int(scored.rows[place])] or ())

    def _levels(self, scored: ScoredHead, rows: Rows, resample: Bootstrap, findings: Findings) -> None:
        """A level counts the listings whose true path reaches it."""
        first = np.array([best(row, 5) for row in scored.scores])
        among = (first == scored.truth[:, None]).any(axis=1).astype(np.float64)
        findings.add(f"{scored.prefix}/top5", float(among.mean()), resample.mean(among))
        truths = [self.truth(scored, rows, place) for place in range(len(scored.rows))]
        answers = [scored.target.labels[index] for index in scored.answer]
        for level in range(1, max(map(len, truths)) + 1):
            right = [
                answer[:level] == truth[:level]
                for answer, truth in zip(answers, truths, strict=True)
                if len(truth) >= level
            ]
            findings.add(f"{scored.prefix}/level{level}", float(np.mean(right)))
        level_of = scored.decisions.level
        for level in sorted({*level_of.tolist()} - {LEAF}):
            findings.add(f"{scored.prefix}/backed_off_to_level{level}", float((level_of[scored.auto] == level).mean()))


def _backed_off(scored: HeadScores) -> tuple[int, int]:
    """Return the level of an answer and its place there."""
    assert scored.scores is not None
    levels: Levels = scored.kept.levels
    found = levels.back_off(scored.scores[None], np.array([scored.certain]), scored.levels)
    return int(found.level[0]), int(found.place[0])


def _ranked(scored: HeadScores, top_k: int) -> list[tuple[tuple[str, ...], float]]:
    """Return paths with their probabilities: the answer, and the best leaves."""
    assert scored.scores is not None
    levels: Levels = scored.kept.levels
    leaves = [(levels.paths(LEAF)[number], float(scored.scores[number])) for number in best(scored.scores, top_k)]
    level, place = _backed_off(scored)
    if level == LEAF:
        return leaves
    path, score = levels.paths(level)[place], float(levels.scores(scored.scores[None], level)[0, place])
    return [(path, score), *(one for one in leaves if one[0] != path)][:top_k]


TASK = Category()
