"""How open values are read out of the texts of test listings: right, said, stated, and what `auto` brings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ecclip.tasks.attributes.open_values import Labelled, Read, answers_of, rows_with_specs
from ecclip.tasks.attributes.opened import OpenValues
from ecclip.tasks.config import EvaluateConfig
from ecclip.tasks.guarantee import auto_cell
from ecclip.tasks.report.findings import Findings
from ecclip.tasks.report.metrics import Bootstrap
from ecclip.tasks.scores import AUTO

OPEN_VALUES = "open_values"


def report_open_values(
    described: Mapping[str, Any], listings: Labelled, cfg: EvaluateConfig, findings: Findings
) -> None:
    """Add ``attribute:<name>/text/*`` of each attribute that is read, and ``open_values/text/*`` of all together.

    Counted are test listings that state a value or its absence. F1 is that of values: one that is said and wrong costs
    precision, one that is stated and not said recall. The texts are no part of a bundle: it cannot count this again.
    """
    if not described:
        findings.add_missing(OPEN_VALUES, "no attribute without a list of values stands in the texts often enough")
        return
    test = rows_with_specs(listings, "test", len(listings.titles))
    found = answers_of(OpenValues(described), listings, test)
    for name, read in found.items():
        _report(f"attribute:{name}/text", read, listings.groups, cfg, findings)
    _report(
        f"{OPEN_VALUES}/text",
        Read.of([one for read in found.values() for one in read.listed()]),
        listings.groups,
        cfg,
        findings,
    )


def _report(prefix: str, read: Read, groups: np.ndarray, cfg: EvaluateConfig, findings: Findings) -> None:
    findings.rows[f"{prefix}/test"] = len(read.rows)
    if not len(read.rows):
        findings.add_missing(prefix, "no test listing states it")
        return
    own = groups[read.rows]
    resample = Bootstrap(own, cfg.bootstrap_rounds, cfg.seed)
    said = np.array([one.value is not None for one in read.said])
    right = read.right.astype(np.float64)
    findings.add(f"{prefix}/accuracy", float(right.mean()), resample.mean(right))
    hits, both = 2.0 * (read.right & said), (said.astype(np.float64) + read.present)
    if both.any():
        findings.add(f"{prefix}/f1", float(hits.sum() / both.sum()), resample.ratio(hits, both))
    cell = auto_cell(read.right, np.array([one.decision == AUTO for one in read.said]), own, cfg.auto.precision)
    findings.add_auto(prefix, cell)
