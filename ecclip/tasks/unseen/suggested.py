"""Suggestions of categories without examples, as a bundle makes them: marked, and for review only.

A listing is compared with what the towers make of the names of all categories. One without examples is suggested where
it lies nearer than every learnt one, by more than an offset that was found on listings of learnt categories: calibrated
stacking (Chao, Changpinyo, Gong and Sha, An Empirical Study and Analysis of Generalized Zero-Shot Learning, ECCV 2016).
Needs numpy (1.26 or 2) and the standard library only; the file travels in the bundle.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ecclip.tasks.names import CategoryNames
from ecclip.tasks.scores import REVIEW, best, plain, probabilities


def ahead(unseen: np.ndarray, learnt: np.ndarray) -> np.ndarray:
    """Return [..., U]: how much nearer categories without examples lie than the nearest learnt one.

    ``unseen`` [..., U] and ``learnt`` [..., L] say how near they lie; without any learnt one they are compared with 0.
    """
    nearest = learnt.max(axis=-1, keepdims=True) if learnt.shape[-1] else np.zeros((*learnt.shape[:-1], 1))
    result: np.ndarray = unseen - nearest
    return result


class Unseen:
    """Suggests by the part ``unseen`` of heads.json (:class:`ecclip.tasks.heads.matrix.Heads`); empty: nothing."""

    def __init__(self, described: Mapping[str, Any], names: CategoryNames) -> None:
        self.stop = int(described.get("stop", 0))
        self._start, self._learnt = int(described.get("start", 0)), int(described.get("learnt", 0))
        self._paths = [tuple(path) for path in described.get("paths", ())]
        self._offsets = dict(described.get("offsets", {}))
        self._names = names

    def suggest(self, logits: np.ndarray, modality: str, language: str | None, most: int) -> list[dict[str, Any]]:
        """Return at most ``most`` categories that lie nearer than every learnt one, the nearest first.

        Args:
            logits: of all heads, [columns].
            modality: that they belong to.
            language: that their names are asked for in, as far as the taxonomy has it.
            most: how many at most.

        Returns:
            of each ``path``, ``id``, ``score`` (above 0.5, and no probability), and that it is ``zero_shot`` and for
            ``review``.
        """
        if modality not in self._offsets:
            return []
        near = logits[self._start : self.stop]
        found = ahead(near[self._learnt :], near[: self._learnt])
        return [self._said(number, float(found[number]), language) for number in best(found, most) if found[number] > 0]

    def _said(self, number: int, ahead_by: float, language: str | None) -> dict[str, Any]:
        path = self._paths[number]
        return {
            "path": self._names.path(path, language),
            "id": self._names.id_of(path),
            "score": plain(probabilities(np.array([ahead_by]), "sigmoid")[0]),
            "zero_shot": True,
            "decision": REVIEW,
        }
