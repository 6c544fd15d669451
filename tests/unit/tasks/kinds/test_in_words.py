"""Each task says its part of an answer for people itself, one of your own among them."""

from __future__ import annotations

from typing import Any

from ecclip.tasks.kinds import TASKS, Task

SAID: dict[str, Any] = {
    "CATEGORY": [["home", "mugs"], ["home"]],
    "CATEGORY_SCORE": [0.934, 0.05],
    "ATTRIBUTES": {"color": {"value": "red", "score": 0.5}, "size": {"value": None, "score": None}},
    "AGE_RESTRICTED_SCORE": 0.021,
    "OTHER_TASKS": {"brand": {"value": "Arvo", "score": 0.75}},
    "DECISION": {"category": "auto", "age_restricted": "review", "brand": "review"},
}
NOTHING: dict[str, Any] = {
    "CATEGORY": [],
    "CATEGORY_SCORE": [],
    "ATTRIBUTES": {},
    "AGE_RESTRICTED_SCORE": None,
    "OTHER_TASKS": {},
    "DECISION": {"category": "unknown"},
}


class Brand(Task):
    """A task without an output of its own."""

    name = "brand"


def test_every_task_says_its_part_and_what_is_unknown() -> None:
    said = {task.name: (task.in_words(SAID), task.in_words(NOTHING)) for task in [*TASKS, Brand()]}
    assert said == {
        "category": ("home > mugs 0.93 (auto)", "unknown"),
        "attributes": ("color red 0.50, size unknown", "-"),
        "age_restricted": ("0.02 (review)", "unknown"),
        "brand": ("Arvo 0.75 (review)", "unknown"),
    }
