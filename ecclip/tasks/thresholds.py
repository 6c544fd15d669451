"""From which score on an answer is `auto`: the loosest threshold whose precision held-out answers prove.

Learn then test (Angelopoulos, Bates, Candès, Jordan and Lei 2021) by fixed-sequence testing: thresholds are tried from
strict to loose, each by an exact bound at the full confidence, and the first one that is not proven ends the search.
Where the search starts is decided by answers that prove nothing: those of the listings that the head was chosen on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import bdtr, bdtrik

from ecclip.tasks.config import AutoConfig
from ecclip.tasks.guarantee import (
    effective_rows,
    effective_rows_so_far,
    error_at_most,
    precision_at_most,
    rows_for_proof,
)
from ecclip.tasks.scores import EVEN_CHANCE, NEVER_AUTO, answered, confidence

_ENOUGH = 0.8  # the usual power of a test (Cohen 1988)


@dataclass(frozen=True)
class Answers:
    """Answers of one head to N listings with known labels.

    Attributes:
        scores: float64 [N], of the answer.
        answer: int64 [N], class numbers; 1 or 0 of a flag.
        truth: int64 [N], class numbers; one that no head has is an error.
        groups: int64 [N], numbers of the products.
        is_flag: the head has a yes or no, whose two sides count the same.
    """

    scores: np.ndarray
    answer: np.ndarray
    truth: np.ndarray
    groups: np.ndarray
    is_flag: bool = False

    @classmethod
    def of(cls, probabilities: np.ndarray, truth: np.ndarray, groups: np.ndarray, loss: str) -> Answers:
        """Return the answers that ``probabilities`` [N, C] of a head with ``loss`` give."""
        return cls(confidence(probabilities, loss), answered(probabilities, loss), truth, groups, loss == "sigmoid")

    @property
    def wrong(self) -> np.ndarray:
        """Return bool [N]."""
        return self.answer != self.truth

    def part(self, chosen: np.ndarray) -> Answers:
        """Return the answers that ``chosen`` names, bool [N] or indices."""
        return Answers(self.scores[chosen], self.answer[chosen], self.truth[chosen], self.groups[chosen], self.is_flag)


@dataclass(frozen=True)
class Thresholds:
    """Of one head and modality: the score from which an answer is `auto`, and that of classes with one of their own.

    ``levels`` are those of answers that back off to a level above (:mod:`ecclip.tasks.backing_off`).
    """

    score: float = NEVER_AUTO
    classes: dict[int, float] | None = None
    levels: dict[int, float] | None = None

    def of(self, answer: np.ndarray) -> np.ndarray:
        """Return the score [N] from which each ``answer``, class numbers [N], is `auto`."""
        own = self.classes or {}
        return np.array([own.get(int(number), self.score) for number in answer], dtype=np.float64)


@dataclass(frozen=True)
class _Claim:
    """The error of ``rows``, bool [N], is at most ``error``, to be proven at ``confidence``."""

    rows: np.ndarray
    error: float
    confidence: float


def thresholds_of(held_out: Answers, chosen_on: Answers, cfg: AutoConfig) -> Thresholds:
    """Return the thresholds at which ``held_out`` answers prove ``cfg.precision`` at ``cfg.confidence``.

    ``held_out`` must be answers to listings that neither the head nor its calibration was fitted to, ``chosen_on`` to
    those that it was; no group may be in both. The promise is about all `auto` answers of the head together: with
    probability ``cfg.confidence`` their precision is at least ``cfg.precision`` on listings that are exchangeable with
    ``held_out``. Classes with answers enough have a threshold, and a proof, of their own; the rest is pooled, and the
    confidence is split evenly between these parts (Bonferroni). Of the rest, a class that ``chosen_on`` shows to be
    below the promise is never `auto`.

    The two sides of a flag are never parts: their errors are bounded for each side of the truth, so that the few that
    are flagged and missed cannot hide behind the many that are not.

    Fails closed: no threshold below an even chance, and none at all where the proof fails.
    """
    held_out, chosen_on = (part.part(part.scores >= EVEN_CHANCE) for part in (held_out, chosen_on))
    if held_out.is_flag:
        return Thresholds(proven_threshold(held_out, chosen_on, cfg, cfg.confidence))
    own, confidence_wanted = _classes_of_their_own(held_out, cfg)
    found: dict[int, float] = {}
    for number in own:
        answers, others = (part.part(part.answer == number) for part in (held_out, chosen_on))
        found[number] = proven_threshold(answers, others, cfg, confidence_wanted)
    found |= dict.fromkeys(_belied(chosen_on, cfg) - set(own), NEVER_AUTO)
    answers, others = (part.part(~np.isin(part.answer, list(found))) for part in (held_out, chosen_on))
    return Thresholds(proven_threshold(answers, others, cfg, confidence_wanted), found or None)


def _classes_of_their_own(held_out: Answers, cfg: AutoConfig) -> tuple[list[int], float]:
    """Return the classes with answers enough for a proof of their own, and the confidence that each part needs.

    Enough are so many that a class that errs half as often as it may would be proven in eight nights of ten, with the
    confidence split between the parts: some 400 answers where 59 are the least that could prove anything. Below that
    a proof of their own would cost answers more than it protects, and classes are pooled.
    """
    rows = {int(number): effective_rows(held_out.groups[held_out.answer == number]) for number in set(held_out.answer)}
    largest = sorted(rows, key=lambda number: (-rows[number], number))
    found, confidence_wanted = 0, cfg.confidence
    for count in range(1, len(largest) + 1):
        parts = count + (count < len(largest))  # with the rest
        claim = _Claim(held_out.answer >= 0, 1 - cfg.precision, 1 - (1 - cfg.confidence) / parts)
        if _power(np.array([rows[largest[count - 1]]]), np.array([claim.error / 2]), claim)[0] < _ENOUGH:
            break
        found, confidence_wanted = count, claim.confidence
    return largest[:found], confidence_wanted


def _belied(chosen_on: Answers, cfg: AutoConfig) -> set[int]:
    """Return the classes whose precision is shown to be below the promise."""
    found = set()
    for number in {int(number) for number in chosen_on.answer}:
        part = chosen_on.part(chosen_on.answer == number)
        rows = effective_rows(part.groups)
        if precision_at_most(rows * (1 - float(part.wrong.mean())), rows, cfg.confidence) < cfg.precision:
            found.add(number)
    return found


def proven_threshold(held_out: Answers, chosen_on: Answers, cfg: AutoConfig, confidence_wanted: float) -> float:
    """Return the loosest threshold that is proven, 2.0 if none is."""
    if len(held_out.scores) < cfg.min_rows:
        return NEVER_AUTO
    start = likeliest_start(held_out, chosen_on, cfg, confidence_wanted)
    ranked = held_out.part(np.argsort(-held_out.scores, kind="stable"))
    proven = _proven(ranked, 1 - cfg.precision, confidence_wanted)
    last_of_score = np.append(ranked.scores[1:] != ranked.scores[:-1], True)  # equal scores are decided together
    first = max(int((ranked.scores >= start).sum()), 1) - 1
    tried = first + np.flatnonzero(last_of_score[first:])
    failed = np.flatnonzero(~proven[tried])
    passed = tried[: failed[0]] if len(failed) else tried
    return float(ranked.scores[passed[-1]]) if len(passed) else NEVER_AUTO


def _proven(ranked: Answers, error: float, confidence_wanted: float) -> np.ndarray:
    """Return bool [N]: whether the first 1, 2, ... N answers prove that at most a share ``error`` is wrong.

    Of a flag the mean of the errors of both sides of the truth is bounded as well, each side at half the risk.
    """
    proven = _bounds(ranked, np.ones(len(ranked.scores), dtype=bool), confidence_wanted) <= error
    if not ranked.is_flag:
        return proven
    sides = [_bounds(ranked, ranked.truth == side, (1 + confidence_wanted) / 2) for side in (0, 1)]
    return proven & (sum(sides) <= 2 * error)


def _bounds(ranked: Answers, counted: np.ndarray, confidence_wanted: float) -> np.ndarray:
    """Return the upper bound [N] of the error of those ``counted``, bool [N], of the first 1, 2, ... N answers."""
    places = np.flatnonzero(counted)
    rows = effective_rows_so_far(ranked.groups[places])
    wrong = rows * np.cumsum(ranked.wrong[places]) / np.arange(1, len(places) + 1)
    bounds = np.append(1.0, error_at_most(wrong, rows, confidence_wanted))  # 1 before the first of them
    return bounds[np.cumsum(counted)]


def likeliest_start(held_out: Answers, chosen_on: Answers, cfg: AutoConfig, confidence_wanted: float) -> float:
    """Return the score at which a proof is likeliest, as far as ``chosen_on`` shows; without it, the first that can be.

    The share of answers above a score and their error are those of ``chosen_on``; of the held-out answers only the
    number counts, so that what is tested does not choose its test.
    """
    rows = effective_rows(held_out.groups)
    if not len(chosen_on.scores):
        needed = rows_for_proof(cfg.precision, confidence_wanted) * len(held_out.scores) / max(rows, 1.0)
        ranked = -np.sort(-held_out.scores)
        return float(ranked[min(int(np.ceil(needed)), len(ranked)) - 1]) if np.isfinite(needed) else EVEN_CHANCE
    candidates = np.unique(np.append(chosen_on.scores, EVEN_CHANCE))
    chance = np.ones(len(candidates))
    for claim in _claims(chosen_on, 1 - cfg.precision, confidence_wanted):
        above = (chosen_on.scores[claim.rows] >= candidates[:, None]).astype(np.float64)
        expected = rows * above.sum(axis=1) / len(chosen_on.scores)
        error = (above @ chosen_on.wrong[claim.rows] + 0.5) / (above.sum(axis=1) + 1.0)  # Jeffreys
        chance = np.minimum(chance, _power(expected, error, claim))
    return float(candidates[int(np.argmax(chance))])  # of equal ones the loosest: np.unique sorts upwards


def _claims(answers: Answers, error: float, confidence_wanted: float) -> list[_Claim]:
    """Return what :func:`_proven` asks for, as claims that each stand alone; those about the sides are approximate."""
    everything = _Claim(np.ones(len(answers.scores), dtype=bool), error, confidence_wanted)
    if not answers.is_flag:
        return [everything]
    risk = 1 - confidence_wanted
    return [everything, *(_Claim(answers.truth == side, 2 * error, 1 - risk / 2) for side in (0, 1))]


def _power(rows: np.ndarray, error: np.ndarray, claim: _Claim) -> np.ndarray:
    """Return how likely ``rows`` answers [K] with an ``error`` [K] prove the claim."""
    rows, risk = np.floor(rows).astype(np.int64), 1 - claim.confidence
    provable = (1 - claim.error) ** rows <= risk  # without an error at all
    allowed = np.floor(bdtrik(risk, np.maximum(rows, 1).astype(np.float64), claim.error))
    return np.where(provable, bdtr(np.where(provable, allowed, 0), rows, error), 0.0)
