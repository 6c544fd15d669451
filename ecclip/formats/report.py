"""The report of a night's tasks: what ``evaluate`` measured, and what it measured it on."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from ecclip.errors import IntegrityError
from ecclip.formats.documents import read_document, read_field, write_document

SCHEMA = "ecclip.report/1"
_NEXT_STEP = "run evaluate of its night again"


@dataclass(frozen=True, kw_only=True)
class TaskReport:
    """Metrics, and what they hang on.

    Attributes:
        metrics: by name ``<task>/<modality>/<metric>``.
        lineage: the digests of the snapshot, the training, its towers and the embeddings.
        intervals: 95 % interval [low, high] of metrics.
        slices: metrics of parts of the test listings, by name of the metric and of the part.
        rows: how many listings there were, by what for.
        missing: why a metric, or a whole task, is not there.
    """

    metrics: dict[str, float]
    lineage: dict[str, str]
    intervals: dict[str, list[float]] = field(default_factory=dict)
    slices: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)


def write_report(report: TaskReport, path: Path) -> None:
    """Write a report as JSON that names its schema."""
    write_document(path, SCHEMA, asdict(report))


def read_report(path: Path) -> TaskReport:
    """Return what :func:`write_report` wrote.

    Raises:
        ContractError: it has a schema that this code does not know.
        IntegrityError: it cannot be read; names the file and, where it is one, the field.
    """
    content = read_document(path, SCHEMA, _NEXT_STEP)
    found = {one.name: read_field(content, one.name, dict, path, _NEXT_STEP) for one in fields(TaskReport)}
    for name, value in found["metrics"].items():
        if not isinstance(value, int | float):
            raise IntegrityError(
                f"the metric {name} of {path} is no number", value=repr(value)[:80], next_step=_NEXT_STEP
            )
    return TaskReport(**found)
