"""The tasks that read a listing's embeddings: one file each, and the list of them.

Matching and clustering are not here: they have no heads and compare whole catalogs (``ecclip.tasks.matching``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ecclip.tasks.kinds import age, attribute, category
from ecclip.tasks.kinds.task import HeadScores, Limit, Query, Target, Task

if TYPE_CHECKING:
    from ecclip.tasks.rows import Rows

__all__ = [
    "TASKS",
    "HeadScores",
    "Limit",
    "Query",
    "Target",
    "Task",
    "gate_defaults",
    "task",
    "task_named",
    "true_paths",
]

TASKS: list[Task] = [category.TASK, attribute.TASK, age.TASK]  # the order of the heads' logits


def task_named(name: str) -> Task:
    """Return the task of a head that one of them has made."""
    return next(task for task in TASKS if task.name == name)


def true_paths(target: Target, rows: Rows) -> list[Any] | None:
    """Return the true path of every listing, None where the labels of a target are no paths."""
    found = [task.true_paths(rows) for task in TASKS if task.name == target.task]
    return found[0] if found else None


def gate_defaults() -> dict[str, Limit]:
    """Return the gate's default limits of all tasks, by the metrics' names in report.json, or patterns of them."""
    return {
        f"{name}/{metric}": limit
        for task in TASKS
        for name in filter(None, (task.name, task.more_heads))
        for metric, limit in task.gate.items()
    }
