"""What `auto` brings on the test listings, and whether what it promises holds there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ecclip.tasks.config import EvaluateConfig
from ecclip.tasks.guarantee import AutoCell, auto_cell, auto_promises_broken
from ecclip.tasks.heads.fitting import train_heads
from ecclip.tasks.heads.matrix import MODALITIES
from ecclip.tasks.kinds import Target
from ecclip.tasks.report.classes import ScoredHead, logits_of, score_heads
from ecclip.tasks.rows import Rows


def auto_cells(scored: Mapping[str, ScoredHead], rows: Rows, cfg: EvaluateConfig) -> dict[str, AutoCell]:
    """Return what `auto` brings by ``<head>/<modality>``."""
    return {
        name: auto_cell(one.answer == one.truth, one.auto, rows.groups[one.rows], cfg.auto.precision)
        for name, one in scored.items()
    }


def measure_auto(rows: Rows, targets: Sequence[Target], cfg: EvaluateConfig) -> dict[str, AutoCell]:
    """Train heads and thresholds as ``evaluate`` does; return what `auto` brings by ``<head>/<modality>``."""
    trained = train_heads(rows, list(targets), cfg)
    scored = score_heads(rows, targets, trained, logits_of(rows, trained))
    return auto_cells({name: one for name, one in scored.items() if name not in trained.untrained}, rows, cfg)


def auto_table(cells: Mapping[str, AutoCell]) -> dict[str, Any]:
    """Return what the page shows of them: a line per head, and the cells whose promise the test listings refute."""
    heads = dict.fromkeys(name.rpartition("/")[0] for name in cells)
    lines = [{"name": head, "cells": [cells[f"{head}/{modality}"] for modality in MODALITIES]} for head in heads]
    return {"lines": lines, "broken": auto_promises_broken(cells)}
