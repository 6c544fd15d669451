"""The tasks that read a listing's embeddings: one file each, and the list of them.

Matching and clustering are not here: they have no heads and compare whole catalogs (``ecclip.tasks.matching``).
"""

from ecclip.tasks.kinds import age, attribute, category
from ecclip.tasks.kinds.task import HeadScores, Limit, Query, Target, Task

__all__ = ["TASKS", "HeadScores", "Limit", "Query", "Target", "Task", "gate_defaults", "task", "task_named"]

TASKS: list[Task] = [category.TASK, attribute.TASK, age.TASK]  # the order of the heads' logits


def task_named(name: str) -> Task:
    """Return the task of a head that one of them has made."""
    return next(task for task in TASKS if task.name == name)


def gate_defaults() -> dict[str, Limit]:
    """Return the gate's default limits of all tasks, by the metrics' names in report.json."""
    return {f"{task.name}/{metric}": limit for task in TASKS for metric, limit in task.gate.items()}
