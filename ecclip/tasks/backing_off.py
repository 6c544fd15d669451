"""From which score on an answer is `auto` at a level above its leaf: the parent of a leaf that is not certain.

A level takes the answers that no deeper one has taken, and must prove the promise about these alone. So all `auto`
answers together keep it, whichever level they are of; the confidence is split evenly between the levels (Bonferroni).
The search of a deeper level ends before an answer that would refute it, and leaves that to the level above: what is
left to prove there is no easier by it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ecclip.tasks.config import AutoConfig
from ecclip.tasks.guarantee import effective_rows, rows_for_proof
from ecclip.tasks.levels import Levels
from ecclip.tasks.scores import EVEN_CHANCE, NEVER_AUTO
from ecclip.tasks.thresholds import Answers, Thresholds, likeliest_start, proven_threshold, thresholds_of


@dataclass(frozen=True)
class Paths:
    """Answers of a head whose labels are paths, to M listings.

    Attributes:
        levels: above its labels.
        scores: probabilities [M, C] of the labels.
        answers: with the best label each.
        truths: the true paths, which may end where no label does.
    """

    levels: Levels
    scores: np.ndarray
    answers: Answers
    truths: Sequence[Sequence[str]]

    def at(self, level: int, asked: np.ndarray) -> Answers:
        """Return the answers with the best category at a level to the listings ``asked`` [K]."""
        sums = self.levels.scores(self.scores[asked], level)
        best = sums.argmax(axis=1)
        truth = self.levels.places([self.truths[place] for place in asked], level)
        return Answers(sums[np.arange(len(asked)), best], best, truth, self.answers.groups[asked])


def thresholds_by_level(paths: Paths, held_out: np.ndarray, cfg: AutoConfig) -> Thresholds:
    """Return the thresholds of the leaves, and of each level above them at which ``cfg.precision`` is proven.

    ``held_out``, bool [M], are answers to listings that neither the head nor its calibration was fitted to; the others
    decide which levels are worth a part of the confidence.
    """
    tried = _worth_trying(paths, held_out, cfg)
    part = cfg.model_copy(update={"confidence": 1 - (1 - cfg.confidence) / (1 + len(tried))})
    answers = paths.answers
    leaf = thresholds_of(answers.part(held_out), answers.part(~held_out), part)
    is_open = answers.scores < np.maximum(leaf.of(answers.answer), EVEN_CHANCE)
    found: dict[int, float] = {}
    for level in tried:
        asked = np.flatnonzero(is_open & (paths.levels.depths[answers.answer] > level))
        above = paths.at(level, asked)
        likely = above.scores >= EVEN_CHANCE
        sides = [above.part(likely & side) for side in (held_out[asked], ~held_out[asked])]
        threshold = proven_threshold(sides[0], sides[1], part, part.confidence)
        if threshold < NEVER_AUTO:
            found[level] = threshold
            is_open[asked[above.scores >= threshold]] = False
    return Thresholds(leaf.score, leaf.classes, found or None)


def _worth_trying(paths: Paths, held_out: np.ndarray, cfg: AutoConfig) -> list[int]:
    """Return the levels, the deepest first, that leaves will leave enough answers to for a proof."""
    answers = paths.answers
    likely = answers.scores >= EVEN_CHANCE
    others = answers.part(likely & ~held_out)
    if not len(others.scores):
        return []
    start = likeliest_start(answers.part(likely & held_out), others, cfg, cfg.confidence)
    rows = effective_rows(answers.groups[held_out])
    depths = paths.levels.depths[answers.answer]
    needed = rows_for_proof(cfg.precision, 1 - (1 - cfg.confidence) / (1 + len(paths.levels.above)))
    found = []
    for level in paths.levels.above:
        left = np.flatnonzero(~held_out & (answers.scores < start) & (depths > level))
        if rows * (paths.at(level, left).scores >= EVEN_CHANCE).sum() / max((~held_out).sum(), 1) >= needed:
            found.append(level)
    return found
