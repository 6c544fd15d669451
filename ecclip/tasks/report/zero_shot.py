"""Zero-shot answers of the frozen start beside ours: the label of the nearest prompt, with no head and no training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ecclip.formats.embeddings import Prompts, load_prompts
from ecclip.formats.report import ZERO_SHOT
from ecclip.tasks.config import EvaluateConfig
from ecclip.tasks.heads.matrix import MODALITIES
from ecclip.tasks.kinds import TASKS, Target, task_named
from ecclip.tasks.kinds.task import NO_LABEL
from ecclip.tasks.report.classes import ScoredHead
from ecclip.tasks.report.findings import Findings
from ecclip.tasks.report.paired import compare_cells
from ecclip.tasks.rows import Rows

_NOT_AN_ANSWER = -1.0  # cosine of what has no prompt: the answer "not present", and labels beyond the most frequent


def report_zero_shot(
    frozen: Rows | None,
    embedded: Path,
    rows: Rows,
    targets: Sequence[Target],
    scored: Mapping[str, ScoredHead],
    cfg: EvaluateConfig,
    findings: Findings,
) -> None:
    """Add the comparison with zero-shot answers in every cell that they can be given in.

    Photos are compared with prompts only where the start's towers were trained together; titles by the text tower's
    own features otherwise. ``frozen`` are the ``rows`` as the start embeds them, ``scored`` our answers by
    ``<head>/<modality>``.
    """
    prompts = load_prompts(embedded)
    if prompts is None or frozen is None:
        findings.add_missing(ZERO_SHOT, "the embeddings came without prompts of the labels")
        return
    if not prompts.joint:
        findings.add_missing(f"{ZERO_SHOT}/image", "the start's towers were not trained together")
    place = {text: number for number, text in enumerate(prompts.texts)}
    answers = [
        _answer(rows, target, scores, modality)
        for modality, cosines in _cosines(frozen, prompts).items()
        for target in targets
        if (scores := _by_label(cosines, place, target)) is not None
    ]
    compared = compare_cells(TASKS, scored, {one.prefix: one for one in answers}, rows.groups, cfg)
    findings.compare(ZERO_SHOT, compared)


def _cosines(frozen: Rows, prompts: Prompts) -> dict[str, np.ndarray]:
    """Return cosines [N, P] of listings and prompts by modality; of both they are the mean."""
    if not prompts.joint:
        assert frozen.text_features is not None  # a frozen start is embedded with its features
        return {"text": frozen.text_features @ prompts.features.T}
    image, text = frozen.image @ prompts.embeddings.T, frozen.text @ prompts.embeddings.T
    return dict(zip(MODALITIES, (image, text, (image + text) / 2), strict=True))


def _by_label(cosines: np.ndarray, place: Mapping[str, int], target: Target) -> np.ndarray | None:
    """Return the cosines [N, C] of a head's labels, None where fewer than two have a prompt.

    ``place`` is the column of each prompt.
    """
    task = task_named(target.task)
    found = [place.get(task.prompt(target, label) or "") for label in target.labels]
    if sum(number is not None for number in found) < 2:
        return None
    nothing = np.full(len(cosines), _NOT_AN_ANSWER)
    return np.stack([nothing if number is None else cosines[:, number] for number in found], axis=1)


def _answer(rows: Rows, target: Target, cosines: np.ndarray, modality: str) -> ScoredHead:
    chosen = np.flatnonzero((rows.split == "test") & rows.has(modality) & (target.y != NO_LABEL))
    never = np.full(len(target.labels), np.inf)  # no cosine makes an answer `auto`
    return ScoredHead(target, modality, chosen, cosines[chosen], cosines[chosen], target.y[chosen], never)
