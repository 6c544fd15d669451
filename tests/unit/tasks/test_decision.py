"""The answer of decision.py against a naive version, and under the interpreter that serves."""

from __future__ import annotations

import json
import math
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ecclip.tasks import decision
from ecclip.tasks.decision import Decider, DecisionError, confidence, probabilities

HEADS: dict[str, Any] = {
    "dim": 2,
    "modalities": ["image", "text", "both"],
    "tasks": [
        {
            "name": "category",
            "kind": "softmax",
            "start": 0,
            "stop": 4,
            "labels": [["a", "b"], ["a"], ["c"], ["d", "e"]],
        },
        {"name": "attribute:color", "kind": "softmax", "start": 4, "stop": 7, "labels": [None, "blue", "red"]},
        {"name": "age_restricted", "kind": "sigmoid", "start": 7, "stop": 8, "labels": ["age_restricted"]},
    ],
    "thresholds": {
        "category": {"image": 0.5, "text": 0.6, "both": 0.4},
        "attribute:color": {"image": 2.0, "text": 0.6, "both": 0.5},
        "age_restricted": {"image": 0.9, "text": 0.8},
    },
}


def naive_answer(row: list[float], modality: str, k: int) -> dict[str, Any]:
    def softmax(values: list[float]) -> list[float]:
        total = sum(math.exp(value) for value in values)
        return [math.exp(value) / total for value in values]

    paths = [task["labels"] for task in HEADS["tasks"]]
    category, colour, age = softmax(row[:4]), softmax(row[4:7]), 1 / (1 + math.exp(-row[7]))
    ranked = sorted(range(4), key=lambda index: (-category[index], index))[:k]
    colour_at = max(range(3), key=lambda index: colour[index])
    sure = {"category": max(category), "attribute:color": max(colour), "age_restricted": max(age, 1 - age)}
    value = paths[1][colour_at]
    return {
        "categories": [tuple(paths[0][index]) for index in ranked],
        "category_scores": [category[index] for index in ranked],
        "attributes": {} if value is None else {"color": {"value": value, "score": colour[colour_at]}},
        "age_restricted": age,
        "decisions": {
            name: "auto" if score >= HEADS["thresholds"][name].get(modality, 2.0) else "review"
            for name, score in sure.items()
        },
    }


@pytest.mark.parametrize("modality", ["image", "text", "both"])
@pytest.mark.parametrize("seed", range(8))
def test_answer_equals_the_naive_one(seed: int, modality: str) -> None:
    row = np.random.default_rng(seed).normal(size=8, scale=3).astype(np.float32)
    answer = Decider(HEADS, top_k=3).answer(row, modality)
    expected = naive_answer(row.astype(float).tolist(), modality, 3)
    assert answer.categories == expected["categories"]
    assert answer.category_scores == pytest.approx(expected["category_scores"], abs=1e-6)
    assert answer.age_restricted == pytest.approx(expected["age_restricted"], abs=1e-6)
    assert answer.decisions == expected["decisions"]
    assert answer.attributes.keys() == expected["attributes"].keys()
    for name, found in answer.attributes.items():
        assert found["value"] == expected["attributes"][name]["value"]
        assert found["score"] == pytest.approx(expected["attributes"][name]["score"], abs=1e-6)


def test_equal_scores_keep_the_order_of_the_labels() -> None:
    answer = Decider(HEADS, top_k=4).answer(np.zeros(8, np.float32), "both")
    assert answer.categories == [("a", "b"), ("a",), ("c",), ("d", "e")]


def test_a_score_at_the_threshold_is_auto_and_a_missing_threshold_is_review() -> None:
    row = np.array([math.log(3), 0, 0, 0, 0, 0, 0, 30], np.float64)  # the category's score is one half exactly
    assert Decider(HEADS).answer(row, "image").decisions["category"] == "auto"
    assert Decider(HEADS).answer(row, "both").decisions["age_restricted"] == "review"


def test_huge_logits_stay_finite() -> None:
    assert np.isfinite(probabilities(np.array([1e5, -1e5, 0.0]), "softmax")).all()
    assert probabilities(np.array([[-1e5], [1e5]]), "sigmoid").ravel().tolist() == [0.0, 1.0]


def test_confidence_of_a_flag_is_that_of_its_answer() -> None:
    assert confidence(np.array([[0.1], [0.7]]), "sigmoid").tolist() == [0.9, 0.7]


@pytest.mark.parametrize(
    ("row", "modality"), [(np.zeros(7), "both"), (np.full(8, np.nan), "both"), (np.zeros(8), "smell")]
)
def test_logits_that_do_not_fit_are_refused(row: np.ndarray, modality: str) -> None:
    with pytest.raises(DecisionError):
        Decider(HEADS).answer(row, modality)


def test_heads_without_a_category_answer_with_no_category() -> None:
    heads = {**HEADS, "tasks": [{**HEADS["tasks"][2], "start": 0, "stop": 1}]}
    answer = Decider(heads).answer(np.array([-30.0]), "both")
    assert (answer.categories, answer.category_scores, answer.age_restricted) == ([], [], 0.0)
    assert answer.decisions == {"category": "unknown", "attributes": "unknown", "age_restricted": "review"}


def test_what_no_label_taught_is_unknown_in_that_modality_alone() -> None:
    untaught = {"category": ["image"], "attribute:color": ["image", "both"], "age_restricted": ["image"]}
    decider = Decider({**HEADS, "untaught": untaught})
    row = np.full(8, 9.0)
    answer = decider.answer(row, "image")
    assert set(answer.decisions.values()) == {"unknown"}
    assert (answer.categories, answer.category_scores, answer.age_restricted) == ([], [], None)
    assert answer.attributes == {"color": {"value": None, "score": None}}
    assert decider.answer(row, "both").decisions["attribute:color"] == "unknown"
    assert decider.answer(row, "text") == Decider(HEADS).answer(row, "text")


def test_the_file_gives_the_same_answer_alone_in_the_serving_environment(tmp_path: Path) -> None:
    """Run a copy of the file with numpy 1.26, as the server does."""
    python = _serving_python()
    if not python.is_file():
        pytest.skip(f"no serving environment at {python}")
    row = np.random.default_rng(5).normal(size=8, scale=3)
    (tmp_path / "decision.py").write_bytes(Path(decision.__file__).read_bytes())
    (tmp_path / "ask.py").write_text(
        "import json, sys, numpy\nfrom decision import Decider\n"
        "heads, row = json.load(sys.stdin)\n"
        "answer = vars(Decider(heads).answer(numpy.array(row), 'both'))\n"
        "sys.stdout.write(json.dumps([numpy.__version__, answer]))\n"
    )
    asked = subprocess.run(
        [python, "ask.py"],
        cwd=tmp_path,
        input=json.dumps([HEADS, row.tolist()]),
        capture_output=True,
        text=True,
        check=True,
    )
    version, answer = json.loads(asked.stdout)
    assert version.startswith("1.")
    assert answer == json.loads(json.dumps(vars(Decider(HEADS).answer(row, "both"))))


def _serving_python() -> Path:
    given = os.environ.get("ECCLIP_SERVING_PYTHON")
    return Path(given) if given else Path(__file__).parents[3] / "work" / "env" / "serving" / "bin" / "python"
