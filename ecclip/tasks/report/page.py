"""report.html: one page that a person can read without anything else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from ecclip.core import shown, write_atomic
from ecclip.tasks.config import EvaluateConfig
from ecclip.tasks.decision import AGE_RESTRICTED, CATEGORY, NEVER_AUTO
from ecclip.tasks.heads.fitting import Trained
from ecclip.tasks.heads.matrix import MODALITIES
from ecclip.tasks.matching.report import FoundProducts
from ecclip.tasks.report.classes import Judged, reliability_of
from ecclip.tasks.report.examples import answer_examples, confusions, product_examples, thumbnails
from ecclip.tasks.report.findings import Findings
from ecclip.tasks.rows import Rows

HEADLINE = [
    ("Category", "right at the first answer", "category", "top1"),
    ("Category", "macro F1 over paths", "category", "macro_f1"),
    ("Attributes", "right where a value is present", "attributes", "present_accuracy"),
    ("Age restricted", "average precision", "age_restricted", "average_precision"),
    ("Matching", "recall@1", "matching", "recall@1"),
    ("Matching", "mean average precision", "matching", "mean_average_precision"),
    ("Products", "pairwise F1", "clustering", "f1"),
]
DETAILS = {
    CATEGORY: [
        ("among the first five", "top5"),
        *((f"right down to level {level}", f"level{level}") for level in range(1, 9)),
        ("calibration error, raw", "ece_before"),
        ("calibration error, calibrated", "ece"),
        ("decided without review", "auto_coverage"),
        ("precision of those", "auto_precision"),
    ],
    AGE_RESTRICTED: [
        ("recall at the wanted precision", "recall_at_precision"),
        ("calibration error, raw", "ece_before"),
        ("calibration error, calibrated", "ece"),
        ("decided without review", "auto_coverage"),
        ("precision of those", "auto_precision"),
    ],
    "matching": [
        ("recall@5", "recall@5"),
        ("recall@10", "recall@10"),
        ("average precision of pairs", "pair_average_precision"),
        ("threshold", "threshold"),
        ("precision at the threshold", "precision_at_threshold"),
        ("recall at the threshold", "recall_at_threshold"),
    ],
    "clustering": [
        ("pairwise precision", "precision"),
        ("pairwise recall", "recall"),
        ("adjusted Rand index", "adjusted_rand"),
        ("V-measure", "v_measure"),
    ],
}
_SHOWN_ORDER = ("both", "image", "text")


def write_page(
    path: Path,
    snapshot: Path,
    rows: Rows,
    judged: dict[str, Judged],
    products: dict[str, FoundProducts],
    trained: Trained,
    findings: Findings,
    cfg: EvaluateConfig,
) -> None:
    """Write the page; equal findings give equal bytes."""
    environment = Environment(
        loader=PackageLoader("ecclip.tasks.report", "templates"),
        autoescape=True,
        finalize=lambda value: shown(value) if type(value) is str else value,  # text of the page itself is Markup
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    context = {
        "modalities": MODALITIES,
        "rows": findings.rows,
        "headline": [_line(f"{task} · {what}", name, metric, findings) for task, what, name, metric in HEADLINE],
        "details": {name: _details(name, lines, findings) for name, lines in DETAILS.items()},
        "attributes": _attributes(judged, findings),
        "slices": findings.slices,
        "missing": sorted(findings.missing.items()),
        "cfg": cfg,
        "never": NEVER_AUTO,
        "thresholds": trained.heads.thresholds,
        **_shown(rows, judged, products, findings, cfg),
    }
    listing_ids = [card["listing_id"] for card in _cards(context)]
    context["photos"] = thumbnails(snapshot, listing_ids)
    write_atomic(path, environment.get_template("report.html.j2").render(context))


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


def _details(task: str, lines: list[tuple[str, str]], findings: Findings) -> list[dict[str, Any]]:
    found = [_line(label, task, metric, findings) for label, metric in lines]
    return [line for line in found if any(cell["value"] is not None for cell in line["cells"])]


def _attributes(judged: dict[str, Judged], findings: Findings) -> list[dict[str, Any]]:
    names = sorted({entry.target.name for entry in judged.values() if entry.target.name.startswith("attribute:")})
    table = []
    for name in names:
        labels = judged[f"{name}/text"].target.labels
        table.append(
            {
                "name": name.removeprefix("attribute:"),
                "values": [label for label in labels if label is not None],
                "rows": findings.rows.get(f"{name}/text/test", 0),
                "accuracy": _line(name, name, "accuracy", findings)["cells"],
                "macro_f1": _line(name, name, "macro_f1", findings)["cells"],
            }
        )
    return table


def _shown(
    rows: Rows,
    judged: dict[str, Judged],
    products: dict[str, FoundProducts],
    findings: Findings,
    cfg: EvaluateConfig,
) -> dict[str, Any]:
    """Return examples and diagrams of the richest modality that has test answers."""
    shown: dict[str, Any] = {"category": None, "age": None, "products": None}
    for modality in reversed(_SHOWN_ORDER):
        category, age = judged.get(f"{CATEGORY}/{modality}"), judged.get(f"{AGE_RESTRICTED}/{modality}")
        if category is not None and f"{category.prefix}/top1" in findings.metrics:
            shown["category"] = {
                "modality": modality,
                "reliability": reliability_of(category, cfg),
                "confusions": confusions(category, rows, 8),
                "examples": answer_examples(category, rows, cfg.examples, cfg.seed),
            }
        if age is not None and f"{age.prefix}/average_precision" in findings.metrics:
            shown["age"] = {"modality": modality, "reliability": reliability_of(age, cfg)}
        if modality in products:
            examples = product_examples(products[modality], rows, cfg.examples // 2, cfg.seed)
            shown["products"] = {"modality": modality, "examples": examples}
    return shown


def _cards(context: dict[str, Any]) -> list[dict[str, Any]]:
    cards: list[dict[str, Any]] = []
    if context["category"]:
        cards += [card for part in context["category"]["examples"].values() for card in part]
    if context["products"]:
        examples = context["products"]["examples"]
        cards += [card for part in ("mixed", "pure") for found in examples[part] for card in found["members"]]
    return cards
