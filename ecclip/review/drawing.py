"""Which listings are looked at, and in which order: those first from which the heads learn most."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from ecclip.core import ContractError
from ecclip.review.scored import Scored

Order = Literal["margin", "disagreement", "label"]
ORDERS = {
    "margin": "least certain first: the smallest margin between the two likeliest answers",
    "disagreement": "photo and title disagree, the surest pair first",
    "label": "the catalog says something else than the answer, the surest answer first",
}
DECISIONS = ("review", "auto", "any")
SPLITS = ("train", "any")
STATES = ("open", "done", "any")


@dataclass(frozen=True, kw_only=True)
class Filter:
    """What is looked at.

    Attributes:
        head: name of the head whose label is asked; empty: the first.
        order: ``margin`` is margin sampling (Scheffer, Decomain and Wrobel, 2001); ``disagreement`` is co-testing
            (Muslea, Minton and Knoblock, 2006), photo and title being the two views; ``label`` looks for wrong labels
            as confident learning does (Northcutt, Jiang and Chuang, 2021).
        decision: ``review``, ``auto`` or ``any``: how the heads have decided.
        split: ``train``, or ``any``. Listings of the other splits teach nothing, and correcting those alone on which
            the model and the catalog disagree would make its figures look better than they are.
        state: ``open``, ``done`` or ``any``: whether a person has said something of it.
        label: only listings with this answer or label, by its text; empty: all.

    Raises:
        ContractError: a value that there is not.
    """

    head: str = ""
    order: Order = "margin"
    decision: str = "review"
    split: str = "train"
    state: str = "open"
    label: str = ""

    def __post_init__(self) -> None:
        allowed = {"order": get_args(Order), "decision": DECISIONS, "split": SPLITS, "state": STATES}
        for name, values in allowed.items():
            if getattr(self, name) not in values:
                raise ContractError(
                    f"there is no such {name}",
                    value=str(getattr(self, name))[:80],
                    limit=", ".join(values),
                    next_step=f"take one of these as {name}",
                )


def draw(wanted: Filter, scored: Scored, given: np.ndarray, split: np.ndarray, label: int | None) -> np.ndarray:
    """Return the places of the listings that are looked at, in their order, whoever has said something of them.

    Args:
        wanted: what is looked at.
        scored: the answers, N rows.
        given: the labels of the catalog, int64 [N], -1 without one.
        split: of each listing [N].
        label: the place of the label that ``wanted`` names; None: all.
    """
    members = scored.answer >= 0
    if wanted.decision != "any":
        members &= scored.auto == (wanted.decision == "auto")
    if wanted.split != "any":
        members &= split == wanted.split
    if label is not None:
        members &= (scored.answer == label) | (given == label)
    if wanted.order == "disagreement":
        members &= scored.disagree
    elif wanted.order == "label":
        members &= (given >= 0) & (given != scored.answer)
    places = np.flatnonzero(members)
    result: np.ndarray = places[np.argsort(_first(wanted.order, scored)[places], kind="stable")]
    return result


def _first(order: Order, scored: Scored) -> np.ndarray:
    """Return numbers [N], of which the smallest comes first."""
    if order == "margin":
        return scored.margin
    return -np.minimum(scored.image_score, scored.text_score) if order == "disagreement" else -scored.score
