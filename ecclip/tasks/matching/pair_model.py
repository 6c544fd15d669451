"""The pair decision: a calibrated probability that two listings are one product, from the evidence about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold

from ecclip.tasks.matching.evidence import Evidence

# all chosen on the validation pairs of the data sets of `ecclip bench tasks`
_TREES, _RATE, _LEAVES, _LEAF_PAIRS, _PENALTY = 200, 0.06, 15, 20, 1.0
_TERMS_STRENGTH = 0.3  # scikit-learn's C of the words' weights
_TERMS_TOLERANCE, _TERMS_ITERATIONS = 1e-3, 1000  # of the solver; by judgment
_FOLDS = 5  # the default of scikit-learn
_MIN_LABELS = 25  # pairs of either label below which nothing is learnt; by judgment: five in each fold


@dataclass(frozen=True)
class PairModel:
    """Boosted trees on ``columns`` of the evidence, among them what ``terms`` say of the words of both titles.

    They are calibrated fold by fold on pairs unseen by them (Platt, 1999). ``held_out`` [M] is the probability of each
    pair that has taught the model, by the trees of the fold that it had no part in.
    """

    terms: LogisticRegression
    trees: CalibratedClassifierCV
    columns: np.ndarray
    held_out: np.ndarray

    def scores(self, evidence: Evidence) -> np.ndarray:
        """Return the probability of one product for each pair, float32 [M]."""
        if not len(evidence.numbers):
            return np.zeros(0, np.float32)
        numbers = _beside(evidence, self.terms.decision_function(evidence.terms))[:, self.columns]
        return np.asarray(self.trees.predict_proba(numbers)[:, 1], dtype=np.float32)


def fit_pair_model(evidence: Evidence, labels: np.ndarray, products: np.ndarray, seed: int = 0) -> PairModel | None:
    """Return the model of labelled pairs, None where there are too few of either label.

    Args:
        evidence: about the pairs.
        labels: 1 for one product, 0 for two [M].
        products: product of one of the two [M]: pairs of one product stay in one fold.
        seed: of the features that a tree may look at.
    """
    positive = int(labels.sum())
    if min(positive, len(labels) - positive) < _MIN_LABELS or len(np.unique(products)) < _FOLDS:
        return None
    folds = [*GroupKFold(_FOLDS).split(evidence.numbers, labels, products)]
    if any(len(np.unique(labels[part])) < 2 for fold in folds for part in fold):
        return None
    numbers = _beside(evidence, _opinions(evidence, labels, folds))
    columns = _varying(numbers, folds)
    trees = HistGradientBoostingClassifier(
        max_iter=_TREES,
        learning_rate=_RATE,
        max_leaf_nodes=_LEAVES,
        min_samples_leaf=_LEAF_PAIRS,
        l2_regularization=_PENALTY,
        max_features=0.5,
        random_state=seed,
    )
    known = numbers[:, columns]
    calibrated = CalibratedClassifierCV(trees, cv=folds).fit(known, labels)
    return PairModel(_weighed(evidence, labels), calibrated, columns, _held_out(calibrated, known, folds))


def _held_out(
    calibrated: CalibratedClassifierCV, numbers: np.ndarray, folds: Sequence[tuple[np.ndarray, np.ndarray]]
) -> np.ndarray:
    found = np.zeros(len(numbers), dtype=np.float32)
    for model, (_, part) in zip(calibrated.calibrated_classifiers_, folds, strict=True):
        found[part] = model.predict_proba(numbers[part])[:, 1]
    return found


def _opinions(evidence: Evidence, labels: np.ndarray, folds: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Return what the words of each pair say by weights that its fold had no part in [M]."""
    found = np.zeros(len(labels))
    for train, held_out in folds:
        model = _weighed(evidence.part(train), labels[train])
        found[held_out] = model.decision_function(evidence.terms[held_out])
    return found


def _weighed(evidence: Evidence, labels: np.ndarray) -> LogisticRegression:
    """Return the weights of words that two titles share, and of those that one has alone, of labels [M]."""
    model = LogisticRegression(C=_TERMS_STRENGTH, solver="liblinear", tol=_TERMS_TOLERANCE, max_iter=_TERMS_ITERATIONS)
    return model.fit(evidence.terms, labels)


def _beside(evidence: Evidence, opinions: np.ndarray) -> np.ndarray:
    return np.column_stack([evidence.numbers, opinions]).astype(np.float32)


def _varying(evidence: np.ndarray, folds: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Return the columns that every fold has values of: the binning of trees fails on others."""
    known = [np.isfinite(evidence[train]).any(axis=0) for train, _ in folds]
    return np.flatnonzero(np.all(known, axis=0))
