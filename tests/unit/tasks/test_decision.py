"""The answer of the decider against a naive version, and under the interpreter that serves."""

from __future__ import annotations

import json
import math
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from described_heads import HEADS, answered

from ecclip.serving.export import ship_code
from ecclip.tasks.attributes import Uses, described
from ecclip.tasks.decision import Decider, DecisionError
from ecclip.tasks.kinds import TASKS, HeadScores, Query, Task
from ecclip.tasks.scores import all_probabilities, confidence, probabilities

# "no value", a brand and a volume, by a word before the volume, and by its shape
READER: dict[str, Any] = described(
    ["brand", "volume"],
    ["f/d", "f@0", "in=description", "w/d", "n=1"],
    np.array([[0, 0, 6], [0, 6, 0], [0, -9, 0], [0, 0, 1], [0, 9, 0]]),
    Uses({"arvo": {"brand": 9}, "arvo of finland": {"brand": 1}}, {"arvo": 9, "arvo of finland": 1}),
)
OPEN: dict[str, Any] = {
    "reader": READER,
    "least": {"brand": 0.5, "volume": 0.5},
    "auto": {"brand": 0.9},
    "spelling": {"arvo": "ARVO"},
}


def naive_answer(row: list[float], modality: str, k: int) -> dict[str, Any]:
    def softmax(values: list[float]) -> list[float]:
        total = sum(math.exp(value) for value in values)
        return [math.exp(value) / total for value in values]

    paths = [task["labels"] for task in HEADS["heads"]]
    category, colour, age = softmax(row[:4]), softmax(row[4:7]), 1 / (1 + math.exp(-row[7]))
    ranked = sorted(range(4), key=lambda index: (-category[index], index))[:k]
    colour_at = max(range(3), key=lambda index: colour[index])
    sure = {"category": max(category), "attribute:color": max(colour), "age_restricted": max(age, 1 - age)}
    value = paths[1][colour_at]
    least = {name: HEADS["thresholds"][name].get(modality, 2.0) for name in sure}
    own = HEADS["class_thresholds"]["attribute:color"].get(modality, {})
    least["attribute:color"] = own.get(str(colour_at), least["attribute:color"])
    return {
        "categories": [tuple(paths[0][index]) for index in ranked],
        "category_scores": [category[index] for index in ranked],
        "attributes": {"color": {"value": value, "score": colour[colour_at]}},
        "age_restricted": age,
        "decisions": {
            name: "auto" if score >= least[name] and score >= 0.5 else "review" for name, score in sure.items()
        },
    }


@pytest.mark.parametrize("modality", ["image", "text", "both"])
@pytest.mark.parametrize("seed", range(8))
def test_answer_equals_the_naive_one(seed: int, modality: str) -> None:
    row = np.random.default_rng(seed).normal(size=8, scale=3).astype(np.float32)
    answer = answered(HEADS, row, modality, 3)
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
    answer = answered(HEADS, np.zeros(8, np.float32), "both", 4)
    assert answer.categories == [("a", "b"), ("a",), ("c",), ("d", "e")]


def test_a_score_at_the_threshold_is_auto_and_a_missing_threshold_is_review() -> None:
    two = one_head(2)  # whose scores are one half exactly
    assert answered(two, np.zeros(2), "image").decisions["category"] == "auto"
    two["thresholds"] = {"category": {"image": np.nextafter(0.5, 1.0)}}
    assert answered(two, np.zeros(2), "image").decisions["category"] == "review"
    assert answered(HEADS, np.full(8, 30.0), "both").decisions["age_restricted"] == "review"


def test_an_answer_below_an_even_chance_is_never_auto_whatever_its_threshold() -> None:
    three = one_head(3) | {"thresholds": {"category": {"image": 0.1}}}
    assert answered(three, np.zeros(3), "image").decisions["category"] == "review"
    assert answered(three, np.array([2.0, 0.0, 0.0]), "image").decisions["category"] == "auto"


def test_a_class_with_a_threshold_of_its_own_does_not_ask_that_of_the_others() -> None:
    two = one_head(2) | {"thresholds": {"category": {"image": 0.6}}}
    two |= {"class_thresholds": {"category": {"image": {"1": 0.9}}}}
    sure = {number: np.log(np.array([0.8, 0.2][:: 1 - 2 * number])) for number in (0, 1)}
    assert [answered(two, sure[number], "image").decisions["category"] for number in (0, 1)] == ["auto", "review"]
    assert answered(two, np.log(np.array([0.05, 0.95])), "image").decisions["category"] == "auto"


def test_a_head_without_any_threshold_is_never_sure_enough() -> None:
    decisions = answered({**HEADS, "thresholds": {}, "class_thresholds": {}}, np.full(8, 90.0), "both").decisions
    assert decisions == dict.fromkeys(("category", "attribute:color", "age_restricted"), "review")


def one_head(labels: int) -> dict[str, Any]:
    """Return heads with nothing but a category of so many labels."""
    head = {**HEADS["heads"][0], "stop": labels, "labels": [[str(number)] for number in range(labels)]}
    return {**HEADS, "heads": [head]}


def test_an_answer_has_five_categories_or_as_many_as_wanted_equal_ones_by_number() -> None:
    heads, row = one_head(40), np.zeros(40)
    assert Decider(heads, TASKS).answer(row, "text")["CATEGORY"] == [[str(number)] for number in range(5)]
    assert Decider(heads, TASKS, 1).answer(row, "text")["CATEGORY"] == [["0"]]
    everything = Decider(heads, TASKS, 99).answer(np.array([number % 3 for number in range(40)]), "text")
    ranked = sorted(range(40), key=lambda number: (-(number % 3), number))
    assert everything["CATEGORY"] == [[str(number)] for number in ranked]
    assert len(everything["CATEGORY_SCORE"]) == 40


def test_scores_are_written_with_six_digits() -> None:
    answer = Decider(one_head(3), TASKS).answer(np.zeros(3), "both")
    assert answer["CATEGORY_SCORE"] == [0.333333] * 3


@pytest.mark.parametrize("top_k", [0, -1])
def test_less_than_one_category_cannot_be_wanted(top_k: int) -> None:
    with pytest.raises(DecisionError, match=f"^top_k must be at least 1, not {top_k}$"):
        Decider(HEADS, TASKS, top_k)


def test_huge_logits_stay_finite_beside_small_ones() -> None:
    assert np.isfinite(probabilities(np.array([1e5, -1e5, 0.0]), "softmax")).all()
    assert probabilities(np.array([[0.0, 0.0], [3e3, 0.0]]), "softmax").tolist() == [[0.5, 0.5], [1.0, 0.0]]
    assert probabilities(np.array([[-1e5], [1e5]]), "sigmoid").ravel().tolist() == [0.0, 1.0]
    assert probabilities(np.zeros(3, np.float32), "softmax").tolist() == [1 / 3] * 3, "in double precision"


def test_confidence_is_that_of_the_answer_of_each_row() -> None:
    assert confidence(np.array([[0.1], [0.7]]), "sigmoid").tolist() == [0.9, 0.7]
    assert confidence(np.array([[0.1, 0.9], [0.7, 0.3]]), "softmax").tolist() == [0.9, 0.7]


@pytest.mark.parametrize(
    ("row", "modality", "message"),
    [
        (np.zeros(7), "both", r"^expected 8 finite logits, got shape \(7,\)$"),
        (np.zeros((1, 8)), "both", r"^expected 8 finite logits, got shape \(1, 8\)$"),
        (np.append(np.zeros(7), np.nan), "both", r"^expected 8 finite logits, got shape \(8,\)$"),
        (np.append(np.zeros(7), np.inf), "both", r"^expected 8 finite logits, got shape \(8,\)$"),
        (np.zeros(8), "smell", r"^unknown modality 'smell'; one of \['image', 'text', 'both'\]$"),
    ],
)
def test_logits_that_do_not_fit_are_refused(row: np.ndarray, modality: str, message: str) -> None:
    with pytest.raises(DecisionError, match=message):
        answered(HEADS, row, modality)


def test_without_heads_every_task_is_unknown() -> None:
    decider = Decider({"heads": [], "modalities": ["text"], "thresholds": {}}, TASKS)
    assert decider.columns == 0
    assert decider.answer(np.zeros(0), "text")["DECISION"] == {task.name: "unknown" for task in TASKS}


class Echo(Task):
    """A task whose answer is what it was given."""

    columns = ()

    def __init__(self, name: str) -> None:
        self.name = name  # type: ignore[misc]

    def answer(self, heads: Sequence[HeadScores], query: Query, top_k: int) -> dict[str, Any]:
        told = [(head.loss, head.labels) for head in heads]
        return {"OTHER_TASKS": {self.name: {"value": [query.title, told, top_k], "score": None}}}


def test_a_task_gets_its_heads_and_the_texts_of_the_question_and_tasks_share_an_output() -> None:
    head = {**HEADS["heads"][0], "task": "b"}
    decider = Decider({**HEADS, "heads": [head], "unlabelled": {"category": ["text"]}}, [Echo("a"), Echo("b")], 3)
    answer, told = decider.answer(np.zeros(4), "both", Query(title="Mug")), [("softmax", head["labels"])]
    values = {name: one["value"] for name, one in answer["OTHER_TASKS"].items()}
    assert values == {"a": ["Mug", [], 3], "b": ["Mug", told, 3]}
    assert answer["DECISION"] == {"a": "unknown", "category": "review"}
    assert decider.answer(np.zeros(4), "text")["OTHER_TASKS"]["b"]["value"] == [None, told, 3]


def test_heads_without_a_category_answer_with_no_category() -> None:
    heads = {**HEADS, "heads": [{**HEADS["heads"][2], "start": 0, "stop": 1}]}
    answer = answered(heads, np.array([-30.0]), "both")
    assert (answer.categories, answer.category_scores, answer.age_restricted) == ([], [], 0.0)
    assert answer.decisions == {"category": "unknown", "attributes": "unknown", "age_restricted": "review"}


def test_what_no_label_taught_is_unknown_in_that_modality_alone() -> None:
    unlabelled = {"category": ["image"], "attribute:color": ["image", "both"], "age_restricted": ["image"]}
    heads = {**HEADS, "unlabelled": unlabelled}
    row = np.full(8, 9.0)
    answer = answered(heads, row, "image")
    assert set(answer.decisions.values()) == {"unknown"}
    assert (answer.categories, answer.category_scores, answer.age_restricted) == ([], [], None)
    assert answer.attributes == {"color": {"value": None, "score": None}}
    assert answered(heads, row, "both").decisions["attribute:color"] == "unknown"
    assert Decider(heads, TASKS).answer(row, "text") == Decider(HEADS, TASKS).answer(row, "text")


APPLIES = [{"path": [], "names": ["color"]}, {"path": ["c"], "names": []}]


# the options of colour are those of a file, for what stands below a
GIVEN: dict[str, Any] = {
    **HEADS,
    "zero_shot": {"attribute:color": ["image", "text", "both"]},
    "options": {"attributes": {"color": {"categories": [["a"]], "names": {"blue": {"de": "blau"}}}}},
}


@pytest.mark.parametrize(("category", "is_asked"), [(0, True), (2, False), (3, False)])
def test_options_of_a_file_are_for_review_alone_however_sure_and_only_in_their_categories(
    category: int, is_asked: bool
) -> None:
    row = np.zeros(8)
    row[[category, 5]] = 9.0
    for applies in ([], [{"path": [], "names": []}]):  # whatever the shop's listings state
        answer = answered({**GIVEN, "applies": applies}, row, "both")
        assert answer.decisions.get("attribute:color") == ("review" if is_asked else None)
        assert [one["value"] for one in answer.attributes.values()] == ["blue"] * is_asked
        assert all(one["zero_shot"] for one in answer.attributes.values())
    for language, value in (("de-AT", "blau"), ("fr", "blue")):
        found = Decider(GIVEN, TASKS).answer(row, "both", Query(language=language))["ATTRIBUTES"]
        assert [one["value"] for one in found.values()] == [value] * is_asked


@pytest.mark.parametrize(("category", "is_asked"), [(0, True), (1, True), (2, False)])
def test_an_attribute_is_not_asked_for_where_it_does_not_apply(category: int, is_asked: bool) -> None:
    row = np.zeros(8)
    row[category] = 9.0
    answer = answered({**HEADS, "applies": APPLIES}, row, "both")
    assert ("color" in answer.attributes, "attribute:color" in answer.decisions) == (is_asked, is_asked)
    assert "attributes" not in answer.decisions, "it has heads, and none of them is asked"


def test_of_an_uncertain_category_what_applies_to_the_likelier_ones_is_asked() -> None:
    for lead, is_asked in ((0.4, True), (-0.4, False)):
        answer = answered({**HEADS, "applies": APPLIES}, np.array([lead, -9.0, 0.0, -9.0, 0, 0, 0, 0]), "both")
        assert ("color" in answer.attributes) == is_asked


@pytest.mark.parametrize(("category", "is_asked"), [(0, False), (1, True)])
def test_a_category_that_others_stand_below_has_attributes_of_its_own(category: int, is_asked: bool) -> None:
    applies = [{"path": [], "names": []}, {"path": ["a"], "names": ["color"]}, {"path": ["a", "b"], "names": []}]
    row = np.zeros(8)
    row[category] = 5.0
    answer = answered({**HEADS, "applies": applies}, row, "both")
    assert answer.categories[0] == tuple(HEADS["heads"][0]["labels"][category])
    assert ("color" in answer.attributes) == is_asked


@pytest.mark.parametrize("level", [{}, {"1": 0.5}])
def test_backing_off_does_not_change_which_attributes_are_asked(level: dict[str, float]) -> None:
    bar = {"thresholds": {"category": {"text": 0.99}}, "level_thresholds": {"category": {"text": level}}}
    applies = [{"path": [], "names": []}, {"path": ["a"], "names": ["color"]}, {"path": ["a", "b"], "names": []}]
    answer = answered({**HEADS, **bar, "applies": applies}, np.array([3.0, 2.0, 0, 0, 0, 0, 0, 0]), "text")
    assert answer.categories[0] == (("a",) if level else ("a", "b"))
    assert "color" not in answer.attributes


def test_heads_of_a_task_without_code_are_refused() -> None:
    known = [task for task in TASKS if task.name == "category"]
    with pytest.raises(DecisionError, match=r"^heads of tasks without code: \['age_restricted', 'attributes'\]$"):
        Decider(HEADS, known)


def test_open_values_are_read_in_the_shops_spelling_and_what_is_not_there_is_not_present() -> None:
    decider = Decider({**HEADS, "open": OPEN, "applies": []}, TASKS)
    both = decider.answer(np.zeros(8), "both", Query("arvo mug 500", None))
    assert both["ATTRIBUTES"]["brand"] == {"value": "ARVO", "score": pytest.approx(0.99, abs=0.02), "source": "title"}
    assert both["ATTRIBUTES"]["volume"]["value"] == "500"
    assert [both["DECISION"][f"attribute:{name}"] for name in ("brand", "volume")] == ["auto", "review"]
    without = decider.answer(np.zeros(8), "text", Query("arvo mug", "holds 330"))["ATTRIBUTES"]
    assert without["volume"] == {"value": "330", "score": pytest.approx(0.99, abs=0.02), "source": "description"}
    nothing = decider.answer(np.zeros(8), "text", Query("arvo mug", None))["ATTRIBUTES"]["volume"]
    assert nothing["value"] is None
    assert nothing["score"] > 0.5
    applies = [{"path": [], "names": ["color", "brand"]}]
    fewer = Decider({**HEADS, "open": OPEN, "applies": applies}, TASKS)
    asked = fewer.answer(np.zeros(8), "both", Query("arvo mug 500"))
    assert set(asked["ATTRIBUTES"]) == {"color", "brand"}
    assert "attribute:volume" not in asked["DECISION"]
    photo = decider.answer(np.zeros(8), "image", Query())
    assert photo["ATTRIBUTES"]["brand"] == {"value": None, "score": None}
    assert photo["DECISION"]["attribute:brand"] == "unknown"


def test_scores_of_all_heads_at_once_are_those_of_each_alone() -> None:
    logits = np.random.default_rng(3).normal(size=12, scale=300)
    starts, losses = np.array([0, 1, 6, 7, 11]), ["sigmoid", "softmax", "sigmoid", "softmax", "softmax"]
    parts = np.split(logits, starts[1:])
    flags = np.isin(np.arange(12), [0, 6])
    expected = np.concatenate([probabilities(part, loss) for part, loss in zip(parts, losses, strict=True)])
    np.testing.assert_allclose(all_probabilities(logits, starts, flags), expected, rtol=1e-12, atol=1e-300)


def test_a_value_has_its_share_among_all_spans_of_the_text() -> None:
    """Added up by hand: what is better than "no value" by how much, of the six spans of the title."""
    found = Decider({**HEADS, "open": OPEN}, TASKS).answer(np.zeros(8), "text", Query("arvo mug 500", None))
    sizes = {"volume": (7, [7, 1, 1, 0, 0, 0]), "brand": (15, [15, 9, 9, 6, 6, 0])}
    for name, (best, every) in sizes.items():
        share = math.exp(best) / (1 + sum(map(math.exp, every)))
        assert found["ATTRIBUTES"][name]["score"] == pytest.approx(share, abs=1e-6)


def test_the_code_that_a_bundle_carries_gives_the_same_answer_in_the_serving_environment(tmp_path: Path) -> None:
    """Run what is shipped with numpy 1.26 and nothing of ecclip beside it, as the server does."""
    python = _serving_python()
    if not python.is_file():
        pytest.skip(f"no serving environment at {python}")
    row = np.random.default_rng(5).normal(size=8, scale=3)
    ship_code(tmp_path / "code")
    (tmp_path / "ask.py").write_text(
        "import importlib.util, json, pathlib, sys, numpy\nsys.path.insert(0, 'code')\n"
        "from ecclip.tasks.decision import Decider\n"
        "def load(path):\n"
        "    spec = importlib.util.spec_from_file_location(path.stem, path)\n"
        "    module = importlib.util.module_from_spec(spec)\n"
        "    spec.loader.exec_module(module)\n"
        "    return module.TASK\n"
        "tasks = [load(path) for path in sorted(pathlib.Path('code/tasks').glob('*.py'))]\n"
        "heads, row = json.load(sys.stdin)\n"
        "from ecclip.tasks.kinds.task import Query\n"
        "answer = Decider(heads, tasks).answer(numpy.array(row), 'both', Query('Arvo mug 500', 'of 330', 'de'))\n"
        "sys.stdout.write(json.dumps([numpy.__version__, answer]))\n"
    )
    asked = subprocess.run(
        [python, "ask.py"],
        cwd=tmp_path,
        input=json.dumps([{**GIVEN, "open": OPEN}, row.tolist()]),
        capture_output=True,
        text=True,
        check=True,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
    )
    version, answer = json.loads(asked.stdout)
    assert version.startswith("1.")
    ours = Decider({**GIVEN, "open": OPEN}, TASKS).answer(row, "both", Query("Arvo mug 500", "of 330", "de"))
    assert answer == json.loads(json.dumps(ours))


def _serving_python() -> Path:
    given = os.environ.get("ECCLIP_SERVING_PYTHON")
    return Path(given) if given else Path(__file__).parents[3] / "work" / "env" / "serving" / "bin" / "python"
