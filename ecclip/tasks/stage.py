"""The stage ``evaluate``: heads, thresholds and the report of all tasks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from ecclip.core import ConfigError, ContractError, Counts, digest_of, get_logger, stage
from ecclip.formats.bundle import HEADS, REPORT_PAGE, Bundle
from ecclip.tasks.attributes.from_rows import described, labelled
from ecclip.tasks.attributes.given_targets import without
from ecclip.tasks.attributes.reported import report_open_values
from ecclip.tasks.config import EvaluateConfig
from ecclip.tasks.heads.fitting import train_heads
from ecclip.tasks.heads.matrix import MODALITIES
from ecclip.tasks.kinds import TASKS, Target
from ecclip.tasks.matching.report import FoundProducts, report_matching
from ecclip.tasks.report.classes import report_tasks
from ecclip.tasks.report.evidence import write_evidence
from ecclip.tasks.report.findings import Findings
from ecclip.tasks.report.frozen import answered, report_frozen
from ecclip.tasks.report.page import write_page
from ecclip.tasks.report.slices import SELLER, report_slices
from ecclip.tasks.report.zero_shot import report_zero_shot
from ecclip.tasks.restriction.background import report_backgrounds
from ecclip.tasks.rows import THRESHOLDS, Rows, frozen_rows, load_rows, origin_of
from ecclip.tasks.unseen.columns import with_unseen
from ecclip.tasks.unseen.reported import report_unseen


@stage
def evaluate(cfg: EvaluateConfig, snapshot: Path, embedded: Path, output: Path) -> Counts:
    """Train and calibrate the heads of all tasks and write heads/, report.json, report.html and evidence.npz.

    Heads learn from split train, are chosen and calibrated on a third of validation, and their thresholds are proven on
    the other groups of validation. The report is about test, and compares each task and modality with the frozen start
    on the same listings. What cannot be measured is left out and explained in the report's ``missing``.

    Raises:
        ConfigError: ``heads.features`` names an unknown task.
        ContractError: the embeddings are not those of the snapshot, or lack the features that a task reads.
    """
    with threadpool_limits(limits=1):  # sums in one order: equal bytes whatever the machine's thread settings
        rows, origin = load_rows(snapshot, embedded, _columns()), origin_of(snapshot, embedded)
        _check_features(cfg, rows)
        findings = Findings(rows=_row_counts(rows))
        targets, listings = _targets(rows, cfg, findings), labelled(rows, cfg.attributes)
        more = described(rows, listings, _learnt(targets), cfg)
        targets = without(targets, more["open"]["reader"]["names"] if more["open"] else ())
        trained = train_heads(rows, targets, cfg)
        heads = with_unseen(trained.heads, rows, cfg.category.suggested_share)
        replace(heads, towers=origin.towers, **more).save(output / HEADS)
        scored = report_tasks(TASKS, rows, targets, trained, cfg, findings)
        answers, frozen = answered(scored, trained), frozen_rows(rows, embedded)
        frozen_logits = report_frozen(frozen, origin, rows, targets, answers, cfg, findings)
        report_zero_shot(frozen, embedded, rows, targets, answers, cfg, findings)
        report_open_values(more["open"], listings, cfg, findings)
        report_unseen(rows, heads, cfg, findings)
        report_slices(TASKS, answers, rows, snapshot, findings)
        report_backgrounds(embedded, rows, scored, trained, cfg, findings)
        write_evidence(rows, targets, trained.heads, output, frozen_logits)
        products = _report_products(rows, cfg, findings)
        made_from = {"snapshot": origin.snapshot, "trained": origin.trained, "towers": origin.towers}
        lineage = made_from | {"embedded": digest_of(embedded)}
        Bundle(output).write_report(findings.report(lineage))
        decided_by = {head.name: trained.heads.decided_by(head) for head in trained.heads.parts}
        write_page(output / REPORT_PAGE, snapshot, rows, scored, products, findings, cfg, decided_by)
    if findings.missing:
        get_logger().warning("some metrics could not be measured", missing=findings.missing)
    return Counts(
        read={"listings": len(rows.listing_ids)},
        written={"heads": len(targets), "metrics": len(findings.metrics)},
        dropped={},
        detail={"missing": len(findings.missing)},
    )


def _row_counts(rows: Rows) -> dict[str, int]:
    counts = {"listings": len(rows.listing_ids), "groups": len(np.unique(rows.groups))}
    counts |= {split: int((rows.split == split).sum()) for split in ("train", "validation", THRESHOLDS, "test")}
    return counts | {f"with_{modality}": int(rows.has(modality).sum()) for modality in MODALITIES}


def _check_features(cfg: EvaluateConfig, rows: Rows) -> None:
    unknown = sorted(set(cfg.heads.features) - {task.name for task in TASKS})
    if unknown:
        raise ConfigError(
            "evaluate.heads.features names an unknown task",
            value=unknown[0],
            limit=", ".join(task.name for task in TASKS),
            next_step="name tasks of this list, or remove the entry",
        )
    wanted = sorted(name for name, choice in cfg.heads.features.items() if choice != "embedding")
    if wanted and rows.image_features is None:
        raise ContractError(
            "the embeddings lack the towers' features, which evaluate.heads.features needs",
            value=wanted[0],
            next_step="set embed.features to true and run embed again",
        )


def _columns() -> list[str]:
    return sorted({SELLER, *(name for task in TASKS for name in task.columns)})


def _targets(rows: Rows, cfg: EvaluateConfig, findings: Findings) -> list[Target]:
    """Return what the heads learn, in the order of their logits; a task without labels is reported as missing."""
    targets: list[Target] = []
    for task in TASKS:
        found = task.targets(rows, cfg)
        targets += found
        if not found:
            findings.add_missing(task.name, task.no_head)
    return targets


def _learnt(targets: list[Target]) -> list[str]:
    """Return the attributes whose values a head has learnt."""
    known = [one.name for one in targets if one.task == "attributes" and not one.zero_shot]
    return [name.removeprefix("attribute:") for name in known]


def _report_products(rows: Rows, cfg: EvaluateConfig, findings: Findings) -> dict[str, FoundProducts]:
    found = {modality: report_matching(rows, modality, cfg, findings) for modality in MODALITIES}
    return {modality: products for modality, products in found.items() if products is not None}
