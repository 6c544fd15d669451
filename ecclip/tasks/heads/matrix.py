"""Heads: one matrix per modality that turns the towers' outputs into the logits of every task."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save
from scipy.linalg import qr

from ecclip.core import IntegrityError, write_atomic
from ecclip.formats.bundle import read_heads, write_heads
from ecclip.tasks.names import CategoryNames
from ecclip.tasks.operating_point import OperatingPoint
from ecclip.tasks.scores import NEVER_AUTO
from ecclip.tasks.unseen.suggested import Unseen

MODALITIES = ("image", "text", "both")
_LEAST_RANK = 64  # of a product of two matrices: below it the heads are small anyway; by judgment
_MOST_RANK = 1200  # above that of four heads on 256 axes each: photo, title, and both of either
_NO_RANK = 1e-7  # of the largest pivot: rounding of float32
_LATER = (
    "class_thresholds",
    "promise",
    "applies",
    "open",
    "level_thresholds",
    "taxonomy",
    "points",
    "zero_shot",
    "policy",
    "unseen",
    "options",
)  # heads of earlier versions lack some


@dataclass(frozen=True)
class Head:
    """Columns ``start`` to ``stop`` of the logits: their task and labels, and the loss that turns them into scores."""

    task: str
    name: str
    loss: str
    start: int
    stop: int
    labels: list[Any]


@dataclass(frozen=True)
class Heads:
    """The linear heads of all tasks; calibration is folded into the weights.

    ``weight`` is float32 [3, i + t, C] and ``bias`` float32 [3, C] in the order image, text, both. ``widths`` are i and
    t, what is read of a photo and of a title: the embedding (``dim`` numbers), and the tower's features behind it
    where a task reads them.
    ``thresholds`` maps head -> modality -> the score from which on an answer needs no review, ``class_thresholds``
    head -> modality -> class number, in decimal digits -> that of a class with one of its own. ``promise`` is the
    precision that both keep. ``level_thresholds`` maps head -> modality -> level, in decimal digits -> the score from
    which on a path that backs off to the level needs no review. ``taxonomy`` describes the categories' names, as far
    as the shop has a taxonomy (:meth:`ecclip.formats.taxonomy.tree.Taxonomy.describe`).
    ``unlabelled`` maps head -> the modalities without labels to learn from: the head has no answer there. ``towers``
    is the digest of the towers whose embeddings the heads read. ``applies`` says which attributes a category has
    (``ecclip.tasks.attributes.applicable``), ``open`` how values that no head lists are read out of the texts
    (``ecclip.tasks.attributes.opened``).
    ``points`` maps flag -> modality -> the fields of its :class:`~ecclip.tasks.operating_point.OperatingPoint`,
    ``zero_shot`` head -> the modalities in which it answers by a description alone. ``policy`` is what the heads of age
    restriction were made by: ``sha256`` of its file, ``version``, and ``classes``; empty without one. ``options``
    says likewise which attributes answer by options that a file names (``ecclip.tasks.attributes.given``).
    ``unseen`` are the columns behind those of all heads by which categories without examples are suggested
    (``ecclip.tasks.unseen.suggested``): ``start`` and ``stop``, of which the first ``learnt`` belong to learnt
    categories and the others to ``paths``, and by modality the ``offsets`` that are taken off the latter; empty where
    there are none.
    """

    dim: int
    weight: np.ndarray
    bias: np.ndarray
    parts: tuple[Head, ...]
    thresholds: dict[str, dict[str, float]]
    unlabelled: dict[str, list[str]] = field(default_factory=dict)
    towers: str = ""
    widths: tuple[int, int] = (0, 0)
    class_thresholds: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    promise: float = 0.95
    applies: list[dict[str, Any]] = field(default_factory=list)
    open: dict[str, Any] = field(default_factory=dict)
    level_thresholds: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    taxonomy: dict[str, Any] = field(default_factory=dict)
    points: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    zero_shot: dict[str, list[str]] = field(default_factory=dict)
    policy: dict[str, Any] = field(default_factory=dict)
    unseen: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.widths == (0, 0):
            object.__setattr__(self, "widths", (self.dim, self.dim))

    @property
    def read_features(self) -> bool:
        """Whether any head reads the towers' own features."""
        return self.widths != (self.dim, self.dim)

    def describe(self) -> dict[str, Any]:
        """Return the content of heads.json, which is what ``Decider`` takes."""
        return {
            "dim": self.dim,
            "widths": list(self.widths),
            "modalities": list(MODALITIES),
            "heads": [vars(head) for head in self.parts],
            "thresholds": self.thresholds,
            "class_thresholds": self.class_thresholds,
            "promise": self.promise,
            "level_thresholds": self.level_thresholds,
            "taxonomy": self.taxonomy,
            "unlabelled": self.unlabelled,
            "towers": self.towers,
            "applies": self.applies,
            "open": self.open,
            "points": self.points,
            "zero_shot": self.zero_shot,
            "policy": self.policy,
            "unseen": self.unseen,
            "options": self.options,
        }

    def logits(self, image: np.ndarray | None, text: np.ndarray | None, modality: str) -> np.ndarray:
        """Return float32 logits [N, C] of inputs [N, i] and [N, t]; None or NaN rows: a missing image or text."""
        index = MODALITIES.index(modality)
        result: np.ndarray = join(image, text, self.widths) @ self.weight[index] + self.bias[index]
        return result

    def decided_by(self, head: Head) -> str:
        """Return what decides where photo and title are there: image, text, or both; validation has chosen it."""
        weight = self.weight[MODALITIES.index("both"), :, head.start : head.stop]
        parts = zip(MODALITIES, (weight[: self.widths[0]], weight[self.widths[0] :]), strict=False)
        used = [name for name, part in parts if part.any()]
        return used[0] if len(used) == 1 else "both"

    def class_thresholds_of(self, head: Head, modality: str) -> np.ndarray:
        """Return for each class [C], of a flag for no and yes, the score from which its answers need no review."""
        own = self.class_thresholds.get(head.name, {}).get(modality, {})
        pooled = self.thresholds.get(head.name, {}).get(modality, NEVER_AUTO)
        classes = 2 if head.loss == "sigmoid" else head.stop - head.start
        return np.array([own.get(str(number), pooled) for number in range(classes)], dtype=np.float64)

    def level_thresholds_of(self, name: str, modality: str) -> dict[int, float]:
        """Return by level the score from which on the paths of a head that back off to it need no review."""
        found = self.level_thresholds.get(name, {}).get(modality, {})
        return {int(level): score for level, score in found.items()}

    def point_of(self, head: Head, modality: str) -> OperatingPoint | None:
        """Return the operating point of a flag; None where it is flagged at an even chance, unmeasured."""
        found = self.points.get(head.name, {}).get(modality)
        return None if found is None else OperatingPoint(**found)

    def is_zero_shot(self, name: str, modality: str) -> bool:
        """Return whether a head answers by descriptions alone."""
        return modality in self.zero_shot.get(name, ())

    def without_answer(self, name: str) -> set[str]:
        """Return the modalities in which a head has learnt from no label: it is unknown there, or zero-shot."""
        return {*self.unlabelled.get(name, ()), *self.zero_shot.get(name, ())}

    def suggested(self, logits: np.ndarray, modality: str, most: int) -> list[dict[str, Any]]:
        """Return the categories without examples that ``logits`` [columns] suggest, as the service has them."""
        return Unseen(self.unseen, CategoryNames(self.taxonomy)).suggest(logits, modality, None, most)

    def factors(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Return factors float32 [3, i + t, r] and [r, C] of ``weight``, None where they are not a quarter smaller.

        Heads of thousands of labels on some hundred axes have them. The range of the matrix is found by its product
        with random vectors (Halko, Martinsson and Tropp 2011), which is exact where the rank is below their number.
        """
        modalities, features, labels = self.weight.shape
        stacked = self.weight.reshape(modalities * features, labels)
        most = 3 * stacked.size // (4 * sum(stacked.shape))
        if most < _LEAST_RANK:
            return None
        stacked = stacked.astype(np.float64)
        # one product with the texts of categories for each tower, in whatever units of a modality
        limit = _MOST_RANK + (self.dim + self.widths[1] if self.unseen else 0)
        probes = np.random.default_rng(0).normal(size=(labels, min(most, limit, *stacked.shape)))
        basis, triangle, _ = qr(stacked @ probes, mode="economic", pivoting=True)
        sizes = np.abs(np.diag(triangle))
        rank = int((sizes > _NO_RANK * max(float(sizes[0]), np.finfo(float).tiny)).sum())
        if rank in (0, probes.shape[1]):
            return None
        left = basis[:, :rank].reshape(modalities, features, rank).astype(np.float32)
        return left, np.ascontiguousarray(basis[:, :rank].T @ stacked, dtype=np.float32)

    def save(self, folder: Path) -> None:
        """Write heads.json and heads.safetensors; equal heads give equal bytes."""
        tensors = {
            "weight": np.ascontiguousarray(self.weight, dtype=np.float32),
            "bias": np.ascontiguousarray(self.bias, dtype=np.float32),
        }
        write_atomic(folder / "heads.safetensors", save(tensors))
        write_heads(folder, self.describe())


def join(image: np.ndarray | None, text: np.ndarray | None, widths: tuple[int, int]) -> np.ndarray:
    """Return float32 [N, i + t]: what is read of photo and title side by side, zeros where one is missing."""
    given = image if image is not None else text
    if given is None:
        raise ValueError("an image or a text embedding is needed")
    rows = np.zeros((len(given), sum(widths)), dtype=np.float32)
    if image is not None:
        rows[:, : widths[0]] = np.nan_to_num(image, nan=0.0)
    if text is not None:
        rows[:, widths[0] :] = np.nan_to_num(text, nan=0.0)
    return rows


def load_heads(folder: Path) -> Heads:
    """Read what ``Heads.save`` wrote.

    Raises:
        ContractError: they have a schema that this code does not know.
        IntegrityError: a file is missing, or the shapes do not fit the list of heads.
    """
    described = read_heads(folder)
    try:
        tensors = load_file(folder / "heads.safetensors")
        parts = tuple(Head(**head) for head in described["heads"])
        heads = Heads(
            described["dim"],
            tensors["weight"],
            tensors["bias"],
            parts,
            described["thresholds"],
            described["unlabelled"],
            described["towers"],
            tuple(described["widths"]),
            **{name: described[name] for name in _LATER if name in described},
        )
    except Exception as error:  # safetensors has its own error class for each kind of damage
        raise IntegrityError("the heads cannot be read", value=folder, next_step="run evaluate again") from error
    columns = max([head.stop for head in parts] + [heads.unseen.get("stop", 0)])
    expected = (len(MODALITIES), sum(heads.widths), columns)
    if (
        min(heads.widths) < heads.dim
        or heads.weight.shape != expected
        or heads.bias.shape != (len(MODALITIES), columns)
    ):
        raise IntegrityError(
            "the heads do not fit their list",
            value=heads.weight.shape,
            limit=expected,
            next_step="run evaluate again: heads and task list are not of one run",
        )
    return heads
