"""report.html: one page that a person can read without anything else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from ecclip.core import shown, write_atomic
from ecclip.formats.report import FROZEN_START, ZERO_SHOT, Comparison
from ecclip.tasks.attributes.reported import OPEN_VALUES
from ecclip.tasks.config import EvaluateConfig
from ecclip.tasks.heads.matrix import MODALITIES
from ecclip.tasks.kinds import TASKS, Task
from ecclip.tasks.matching.report import FoundProducts
from ecclip.tasks.report.charts import confusion_chart, reliability_chart, shares_chart
from ecclip.tasks.report.classes import ZERO_SHOT_ACCURACY, ScoredHead, auto_cells, auto_table, reliability_of
from ecclip.tasks.report.examples import (
    answer_examples,
    confusion_matrix,
    confusions,
    product_examples,
    thumbnails,
)
from ecclip.tasks.report.findings import Findings
from ecclip.tasks.restriction.background import GUARD, METRIC
from ecclip.tasks.rows import Rows
from ecclip.tasks.unseen.reported import UNSEEN

_CATALOG_HEADLINE = (  # of the tasks on the whole catalog, which have no heads: ecclip.tasks.matching
    ("Matching · recall@1", "matching", "recall@1"),
    ("Matching · mean average precision", "matching", "mean_average_precision"),
    ("Products by embeddings alone · pairwise F1", "clustering", "f1"),
)
_CATALOG_DETAILS = {
    "matching": (
        ("recall@5", "recall@5"),
        ("recall@10", "recall@10"),
        ("average precision of pairs", "pair_average_precision"),
        ("threshold", "threshold"),
        ("precision at the threshold", "precision_at_threshold"),
        ("recall at the threshold", "recall_at_threshold"),
    ),
    "clustering": (
        ("pairwise precision", "precision"),
        ("pairwise recall", "recall"),
        ("adjusted Rand index", "adjusted_rand"),
        ("V-measure", "v_measure"),
    ),
}
_OF_SUGGESTIONS = (
    ("of listings of categories held out: theirs is the first suggested", "recall@1"),
    ("... among the first five", "recall@5"),
    ("... any is suggested at all", "found"),
    ("of listings of learnt categories: any is suggested", "wrongly"),
)
_SYSTEMS = {FROZEN_START: "frozen start", ZERO_SHOT: "zero-shot with the start"}
_OF_OPEN_VALUES = ("f1", "accuracy", "auto_coverage")
_RICHEST_FIRST = ("both", "image", "text")
_VERDICT = "<!-- verdict -->"  # where the page has room for it
_MISTAKES = 8  # the most frequent ones that are shown; by judgment


def write_page(
    path: Path,
    snapshot: Path,
    rows: Rows,
    scored: dict[str, ScoredHead],
    products: dict[str, FoundProducts],
    findings: Findings,
    cfg: EvaluateConfig,
    decided_by: Mapping[str, str],
) -> None:
    """Write the page; equal findings give equal bytes. ``decided_by`` says of each head whether photo, title or both
    decide where both are there.
    """
    context = {
        "modalities": MODALITIES,
        "rows": findings.rows,
        "headline": _headline(findings),
        "sections": [_section(task, rows, scored, findings, cfg) for task in TASKS],
        "open_values": _open_values(findings),
        "suggestions": _suggestions(findings),
        "decided_by": decided_by,
        "details": {name: _details(name, lines, findings) for name, lines in _CATALOG_DETAILS.items()},
        "paired": _paired(findings),
        "outcomes": findings.cells,
        "auto": auto_table(auto_cells(_learnt(scored), rows, cfg)),
        "missing": sorted(findings.missing.items()),
        "cfg": cfg,
        "products": _products(rows, products, cfg),
    }
    context["photos"] = thumbnails(snapshot, [card["listing_id"] for card in _cards(context)])
    write_atomic(path, _environment().get_template("report.html.j2").render(context))


def with_verdict(page: str, verdict: Mapping[str, Any]) -> str:
    """Return a bundle's page with the gate's verdict on it, which is younger than the page.

    ``verdict`` has the fields of :class:`ecclip.registry.Verdict`. A page of an earlier version gets it at its end.
    """
    found = _environment().get_template("verdict.html.j2").render(verdict=verdict, cells=verdict["cells"])
    return page.replace(_VERDICT, found, 1) if _VERDICT in page else page + found


def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("ecclip.tasks.report", "templates"),
        autoescape=True,
        finalize=lambda value: shown(value) if type(value) is str else value,  # text of the page itself is Markup
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _headline(findings: Findings) -> list[dict[str, Any]]:
    lines = [(f"{task.title} · {what}", task.name, metric) for task in TASKS for what, metric in task.headline]
    return [_line(label, name, metric, findings) for label, name, metric in (*lines, *_CATALOG_HEADLINE)]


def _line(label: str, task: str, metric: str, findings: Findings) -> dict[str, Any]:
    cells = [_cell(task, modality, metric, findings) for modality in MODALITIES]
    known = [cell["value"] for cell in cells if cell["value"] is not None]
    for cell in cells:
        cell["best"] = cell["value"] is not None and len(known) > 1 and cell["value"] == max(known)
    return {"label": label, "cells": cells}


def _cell(task: str, modality: str, metric: str, findings: Findings) -> dict[str, Any]:
    name = f"{task}/{modality}/{metric}"
    why = next(
        (findings.missing[key] for key in (name, f"{task}/{modality}", task) if key in findings.missing), "not asked"
    )
    return {"value": findings.metrics.get(name), "interval": findings.intervals.get(name), "why": why}


def _details(task: str, lines: Sequence[tuple[str, str]], findings: Findings) -> list[dict[str, Any]]:
    found = [_line(label, task, metric, findings) for label, metric in lines]
    return [line for line in found if any(cell["value"] is not None for cell in line["cells"])]


def _paired(findings: Findings) -> list[dict[str, Any]]:
    """Return a line per task and system: by modality the comparison of ours with it, None where there is none."""
    titles = {task.name: (task.title, task.headline[0][0]) for task in TASKS} | {"matching": ("Matching", "recall@1")}
    systems = sorted({name for found in findings.comparisons.values() for name in found})
    return [
        {
            "label": " · ".join(titles[task]),
            "system": _SYSTEMS.get(system, system),
            "cells": [_compared(findings, f"{task}/{modality}", system) for modality in MODALITIES],
        }
        for system in systems
        for task in titles
        if any(system in findings.comparisons.get(f"{task}/{modality}", {}) for modality in MODALITIES)
    ]


def _compared(findings: Findings, cell: str, system: str) -> Comparison | None:
    found = findings.comparisons.get(cell, {}).get(system)
    return None if found is None else Comparison(**found)


def _section(
    task: Task, rows: Rows, scored: dict[str, ScoredHead], findings: Findings, cfg: EvaluateConfig
) -> dict[str, Any]:
    """Return what the page shows of a task: a table of its heads, or of its only head details and diagrams as well."""
    names = sorted({entry.target.name for entry in scored.values() if entry.target.task == task.name})
    own, guarded = (
        {f"{name}/{modality}/{what}" for name in names for modality in MODALITIES} for what in (METRIC, GUARD)
    )
    section: dict[str, Any] = {
        "backgrounds": {name: found for name, found in findings.slices.items() if name in own},
        "guards": {name: found for name, found in findings.slices.items() if name in guarded},
        "title": task.title,
        "note": task.note,
        "heads": [],
        "flags": [],
        "given": [_given(name, scored, findings) for name in names if scored[f"{name}/text"].target.zero_shot],
        "only": None,
    }
    if task.name in names:  # classes of its own beside it are told by a table below
        section["details"] = _details(task.name, task.details, findings)
        section["only"] = _only_head(task, rows, scored, findings, cfg)
        section["flags"] = [_flag(name, scored, findings) for name in names if name != task.name]
    else:
        learnt = [name for name in names if not scored[f"{name}/text"].target.zero_shot]
        section["heads"] = [_head(name, scored, findings) for name in learnt]
    return section | _looked_at(task, rows, scored, findings, cfg)


def _open_values(findings: Findings) -> list[dict[str, Any]]:
    """Return a line for each attribute that is read out of the texts, and one for all together."""
    names = [name.removesuffix("/text/f1") for name in findings.metrics if name.endswith("/text/f1")]
    own = [name for name in names if name == OPEN_VALUES or name.startswith("attribute:")]
    return [
        {
            "name": "all together" if name == OPEN_VALUES else name.removeprefix("attribute:"),
            "rows": findings.rows[f"{name}/text/test"],
            "cells": [_cell(name, "text", metric, findings) | {"best": False} for metric in _OF_OPEN_VALUES],
        }
        for name in own
    ]


def _suggestions(findings: Findings) -> dict[str, Any] | None:
    """Return what the page shows of suggested categories without examples; None where there are none to suggest."""
    counted = {one: f"{UNSEEN}/{one}" for one in MODALITIES if f"{UNSEEN}/{one}/test" in findings.rows}
    if not counted:
        return None
    names = ("categories", "test", "suggested")
    return {
        "lines": _details(UNSEEN, _OF_SUGGESTIONS, findings),
        "counts": {one: {name: findings.rows[f"{prefix}/{name}"] for name in names} for one, prefix in counted.items()},
    }


def _looked_at(
    task: Task, rows: Rows, scored: dict[str, ScoredHead], findings: Findings, cfg: EvaluateConfig
) -> dict[str, Any]:
    """Return examples and parts of the catalog of the richest modality that has test answers."""
    found: dict[str, Any] = {"modality": "", "examples": {}, "slices": None}
    for modality in _RICHEST_FIRST:
        heads = [one for one in _learnt(scored).values() if (one.target.task, one.modality) == (task.name, modality)]
        measured = [one for one in heads if one.prefix not in findings.missing and len(one.rows)]
        if measured:
            parts = findings.slices.get(f"{task.name}/{modality}/{task.accuracy}", {})
            found["modality"] = modality
            found["examples"] = answer_examples(task, measured, rows, cfg.examples, cfg.seed)
            found["slices"] = _slices(parts, measured) if parts else None
            break
    return found


def _slices(parts: dict[str, dict[str, float]], heads: Sequence[ScoredHead]) -> dict[str, Any]:
    right, answers = sum(int((one.answer == one.truth).sum()) for one in heads), sum(len(one.rows) for one in heads)
    chart = shares_chart(list(parts), [found["value"] for found in parts.values()], right / answers)
    return {"parts": parts, "chart": chart, "whole": right / answers, "rows": answers}


def _flag(name: str, scored: dict[str, ScoredHead], findings: Findings) -> dict[str, Any]:
    """Return what the page shows of a class that has a yes or no of its own."""
    points = [scored[f"{name}/{modality}"].point for modality in MODALITIES]
    return {
        "name": name.partition(":")[2] or name,
        "why": next((findings.missing[key] for key in (f"{name}/text", f"{name}/both") if key in findings.missing), ""),
        "positives": findings.rows.get(f"{name}/text/test_positives"),
        "rate": next((point.rate for point in points if point is not None), None),
        "recall": _line(name, name, "recall", findings)["cells"],
        "false_positive_rate": _line(name, name, "false_positive_rate", findings)["cells"],
        "at_most": _line(name, name, "false_positive_rate_at_most", findings)["cells"],
    }


def _head(name: str, scored: dict[str, ScoredHead], findings: Findings) -> dict[str, Any]:
    labels = scored[f"{name}/text"].target.labels
    return {
        "name": name.partition(":")[2] or name,
        "head": name,
        "values": [label for label in labels if label is not None],
        "rows": findings.rows.get(f"{name}/text/test", 0),
        "accuracy": _line(name, name, "accuracy", findings)["cells"],
        "macro_f1": _line(name, name, "macro_f1", findings)["cells"],
    }


def _given(name: str, scored: dict[str, ScoredHead], findings: Findings) -> dict[str, Any]:
    """Return what the page shows of an attribute whose options a file names."""
    return {
        "name": name.partition(":")[2],
        "options": scored[f"{name}/text"].target.labels,
        "rows": findings.rows.get(f"{name}/text/test", 0),
        "cells": _line(name, name, ZERO_SHOT_ACCURACY, findings)["cells"],
    }


def _learnt(scored: Mapping[str, ScoredHead]) -> dict[str, ScoredHead]:
    return {name: one for name, one in scored.items() if not one.target.zero_shot}


def _only_head(
    task: Task, rows: Rows, scored: dict[str, ScoredHead], findings: Findings, cfg: EvaluateConfig
) -> dict[str, Any] | None:
    """Return the diagrams of the richest modality that has test answers; None: there is none."""
    first = task.headline[0][1]
    for modality in _RICHEST_FIRST:
        entry = scored[f"{task.name}/{modality}"]
        if f"{entry.prefix}/{first}" not in findings.metrics:
            continue
        bars = reliability_of(entry, cfg)
        found: dict[str, Any] = {
            "modality": modality,
            "reliability": reliability_chart({"raw": bars["before"], "calibrated": bars["after"]}),
            "positives": findings.rows.get(f"{entry.prefix}/test_positives"),
            "test": findings.rows[f"{entry.prefix}/test"],
            "confusions": confusions(task, entry, rows, _MISTAKES),
            "confusion": None,
        }
        classes, counts = confusion_matrix(entry, _MISTAKES)
        if classes:
            found["confusion"] = {"classes": classes, "chart": confusion_chart(counts)}
        return found
    return None


def _products(rows: Rows, products: dict[str, FoundProducts], cfg: EvaluateConfig) -> dict[str, Any] | None:
    for modality in _RICHEST_FIRST:
        if modality in products:
            examples = product_examples(products[modality], rows, cfg.examples // 2, cfg.seed)
            return {"modality": modality, "examples": examples}
    return None


def _cards(context: dict[str, Any]) -> list[dict[str, Any]]:
    cards = [card for found in context["sections"] for part in found["examples"].values() for card in part]
    if context["products"]:
        examples = context["products"]["examples"]
        cards += [card for part in ("mixed", "pure") for found in examples[part] for card in found["members"]]
    return cards
