"""The pair decision: a calibrated probability that two listings are one product, from the evidence about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import GroupKFold

# chosen on the validation pairs of abt_buy, amazon_google and wdc_products (`ecclip bench tasks`)
_TREES, _RATE, _LEAVES, _LEAF_PAIRS, _PENALTY = 200, 0.06, 15, 20, 1.0
_FOLDS = 5  # of the calibration; the default of scikit-learn
_MIN_LABELS = 25  # pairs of either label below which nothing is learnt; by judgment: five in each fold


@dataclass(frozen=True)
class PairModel:
    """Boosted trees on ``columns`` of the evidence, calibrated fold by fold on pairs unseen by them (Platt, 1999)."""

    classifier: CalibratedClassifierCV
    columns: np.ndarray

    def scores(self, evidence: np.ndarray) -> np.ndarray:
        """Return the probability of one product for pairs [M] by their evidence [M, E]."""
        if not len(evidence):
            return np.zeros(0, np.float32)
        return np.asarray(self.classifier.predict_proba(evidence[:, self.columns])[:, 1], dtype=np.float32)


def fit_pair_model(evidence: np.ndarray, labels: np.ndarray, products: np.ndarray, seed: int = 0) -> PairModel | None:
    """Return the model of labelled pairs, None where there are too few of either label.

    Args:
        evidence: float32 [M, E].
        labels: 1 for one product, 0 for two [M].
        products: product of one of the two [M]: pairs of one product stay in one fold.
        seed: of the features that a tree may look at.
    """
    positive = int(labels.sum())
    if min(positive, len(labels) - positive) < _MIN_LABELS or len(np.unique(products)) < _FOLDS:
        return None
    trees = HistGradientBoostingClassifier(
        max_iter=_TREES,
        learning_rate=_RATE,
        max_leaf_nodes=_LEAVES,
        min_samples_leaf=_LEAF_PAIRS,
        l2_regularization=_PENALTY,
        max_features=0.5,
        random_state=seed,
    )
    folds = [*GroupKFold(_FOLDS).split(evidence, labels, products)]
    columns = _varying(evidence, folds)
    return PairModel(CalibratedClassifierCV(trees, cv=folds).fit(evidence[:, columns], labels), columns)


def _varying(evidence: np.ndarray, folds: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Return the columns that every fold has values of: the binning of trees fails on others."""
    known = [np.isfinite(evidence[train]).any(axis=0) for train, _ in folds]
    return np.flatnonzero(np.all(known, axis=0))
