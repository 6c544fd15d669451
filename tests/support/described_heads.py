"""Heads of three tasks as heads.json describes them, by hand, and what the decider makes of a row of their logits."""

from __future__ import annotations

from typing import Any

import numpy as np

from ecclip.client import Answer
from ecclip.tasks.decision import Decider
from ecclip.tasks.kinds import TASKS

HEADS: dict[str, Any] = {
    "dim": 2,
    "modalities": ["image", "text", "both"],
    "heads": [
        {
            "task": "category",
            "name": "category",
            "loss": "softmax",
            "start": 0,
            "stop": 4,
            "labels": [["a", "b"], ["a"], ["c"], ["d", "e"]],
        },
        {
            "task": "attributes",
            "name": "attribute:color",
            "loss": "softmax",
            "start": 4,
            "stop": 7,
            "labels": [None, "blue", "red"],
        },
        {
            "task": "age_restricted",
            "name": "age_restricted",
            "loss": "sigmoid",
            "start": 7,
            "stop": 8,
            "labels": ["age_restricted"],
        },
    ],
    "thresholds": {
        "category": {"image": 0.5, "text": 0.6, "both": 0.4},
        "attribute:color": {"image": 2.0, "text": 0.6, "both": 0.5},
        "age_restricted": {"image": 0.9, "text": 0.8},
    },
    "class_thresholds": {"attribute:color": {"text": {"2": 0.9}, "both": {"1": 2.0}}},
}


def answered(heads: dict[str, Any], row: np.ndarray, modality: str, top_k: int = 5) -> Answer:
    return Answer.from_outputs(Decider(heads, TASKS, top_k).answer(row, modality))
