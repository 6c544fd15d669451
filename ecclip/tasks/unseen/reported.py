"""How good suggestions of categories without examples are: measured on learnt ones that are held out on purpose."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ecclip.tasks.config import EvaluateConfig
from ecclip.tasks.heads.matrix import MODALITIES, Heads
from ecclip.tasks.report.findings import Findings
from ecclip.tasks.report.metrics import Bootstrap
from ecclip.tasks.rows import Rows
from ecclip.tasks.unseen.columns import Asked, Compared, Path, asked_of, compare, joined_inputs, learnt_numbers

UNSEEN = "category_suggestions"
_PARTS = 3  # of the learnt categories, each held out once: others are left to stand beside it; by judgment
_RANKS = (1, 5)  # the first suggestion, and as many as an answer has


def report_unseen(rows: Rows, heads: Heads, cfg: EvaluateConfig, findings: Findings) -> None:
    """Add ``category_suggestions/<modality>/*`` where the shop's taxonomy has categories without examples.

    ``recall@1`` and ``recall@5``: of test listings of a learnt category that is held out, how many have it among the
    first categories without examples; ``found``: how many of them get any suggestion; ``wrongly``: how many test
    listings of learnt categories do, with none held out. The towers have seen listings of what is held out, as they see
    any of the catalog; no head has.
    """
    asked = asked_of(rows, heads)
    if asked is None:
        return
    for modality in MODALITIES:
        compared = compare(asked, rows, heads, modality, cfg.category.suggested_share)
        if compared is None:
            reason = "no suggestion: too few listings of learnt categories, or evaluate.category.suggested_share is 0"
            findings.add_missing(f"{UNSEEN}/{modality}", reason)
            continue
        _report_wrong(compared, rows, heads, modality, cfg, findings)
        _report_held_out(asked, rows, heads, modality, cfg, findings)


def _report_wrong(
    compared: Compared, rows: Rows, heads: Heads, modality: str, cfg: EvaluateConfig, findings: Findings
) -> None:
    """Add how many test listings get a suggestion, and how many of those of learnt categories, which are wrong."""
    name, size = f"{UNSEEN}/{modality}", len(compared.asked.rows)
    test = rows.sample(np.flatnonzero((rows.split == "test") & rows.has(modality)), size)
    suggested = np.asarray((compared.ahead(joined_inputs(rows, heads, test)) > 0).any(axis=1))
    findings.rows |= {f"{name}/test": len(test), f"{name}/suggested": int(suggested.sum())}
    findings.rows[f"{name}/categories"] = len(compared.asked.unseen)
    known = learnt_numbers(compared.asked, rows)[test] >= 0
    if not known.any():
        findings.add_missing(f"{name}/wrongly", "not measured: no test listing of a learnt category")
        return
    wrong = suggested[known].astype(np.float64)
    resample = Bootstrap(rows.groups[test[known]], cfg.bootstrap_rounds, cfg.seed)
    findings.add(f"{name}/wrongly", float(wrong.mean()), resample.mean(wrong))


def _report_held_out(
    asked: Asked, rows: Rows, heads: Heads, modality: str, cfg: EvaluateConfig, findings: Findings
) -> None:
    """Add how listings of learnt categories that are held out find them among those without examples."""
    name = f"{UNSEEN}/{modality}"
    members, ranks, found = [], [], []
    for held_out in _parts(asked):
        listings = _listings_of(held_out, rows, modality, len(asked.rows))
        compared = compare(asked.without(held_out), rows, heads, modality, cfg.category.suggested_share)
        if compared is None or not len(listings):
            continue
        ahead = compared.ahead(joined_inputs(rows, heads, listings))
        members.append(listings)
        ranks.append(_ranks(ahead, compared.asked.unseen, [tuple(rows.given["category"][row]) for row in listings]))
        found.append((ahead > 0).any(axis=1))
    if not members:
        findings.add_missing(f"{name}/recall@1", "not measured: too few learnt categories or test listings to hold out")
        return
    resample = Bootstrap(rows.groups[np.concatenate(members)], cfg.bootstrap_rounds, cfg.seed)
    rank = np.concatenate(ranks)
    findings.rows[f"{name}/held_out"] = len(rank)
    among = {f"recall@{most}": rank < most for most in _RANKS} | {"found": np.concatenate(found)}
    for metric, right in among.items():
        findings.add(f"{name}/{metric}", float(right.mean()), resample.mean(right.astype(np.float64)))


def _parts(asked: Asked) -> Iterator[list[Path]]:
    """Yield the learnt categories in parts, so that each is held out once; none where they are too few."""
    if len(asked.learnt) > _PARTS:
        ordered = sorted(asked.learnt)
        yield from (ordered[first::_PARTS] for first in range(_PARTS))


def _listings_of(paths: list[Path], rows: Rows, modality: str, size: int) -> np.ndarray:
    of_these = np.array([tuple(path or ()) in paths for path in rows.given["category"]], dtype=bool)
    return rows.sample(np.flatnonzero((rows.split == "test") & rows.has(modality) & of_these), size)


def _ranks(ahead: np.ndarray, paths: list[Path], truths: list[Path]) -> np.ndarray:
    """Return how many categories lie nearer than the true one, int64 [N], for ``ahead`` [N, U] of ``paths`` [U]."""
    place = {path: number for number, path in enumerate(paths)}
    true = ahead[np.arange(len(truths)), [place[path] for path in truths]]
    result: np.ndarray = (ahead > true[:, None]).sum(axis=1)
    return result
