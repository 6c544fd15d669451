"""What a report claims can be counted again from what lies beside it, for every task and modality."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ecclip.core import ContractError, IntegrityError, canonical_json, write_atomic
from ecclip.formats.bundle import EVIDENCE
from ecclip.tasks import EvaluateConfig, check_claims, evaluate, read_evidence

CFG = EvaluateConfig(bootstrap_rounds=20, examples=0)


@pytest.fixture(scope="module")
def evaluated(snapshot: Path, embedded: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("evidence") / "evaluate"
    evaluate(CFG, snapshot, embedded, output)
    return output


def _copy(evaluated: Path, folder: Path, **metrics: float) -> Path:
    for name in ("heads/heads.json", "heads/heads.safetensors", EVIDENCE):
        write_atomic(folder / name, (evaluated / name).read_bytes())
    report = json.loads((evaluated / "report.json").read_text())
    report["metrics"] |= metrics
    write_atomic(folder / "report.json", canonical_json(report))
    return folder


def test_an_honest_report_is_proven_in_every_class_metric(evaluated: Path) -> None:
    names = json.loads((evaluated / "report.json").read_text())["metrics"]
    counted = [name for name in names if not name.startswith(("matching", "clustering")) and "ece_before" not in name]
    assert check_claims(evaluated) == len(counted) > 50


def test_every_counted_metric_that_is_raised_is_refused_by_name(evaluated: Path, tmp_path: Path) -> None:
    metrics = json.loads((evaluated / "report.json").read_text())["metrics"]
    tops = ["category/image/top1", "category/both/macro_f1", "category/text/ece"]
    others = ["attribute:color/text/accuracy", "attributes/both/accuracy", "age_restricted/text/average_precision"]
    for name in tops + others:
        folder = _copy(evaluated, tmp_path / name.replace("/", "-"), **{name: metrics[name] - 0.2})
        with pytest.raises(ContractError, match=name):
            check_claims(folder)


def test_of_a_sample_shares_are_proven_within_its_error(evaluated: Path, tmp_path: Path) -> None:
    found = read_evidence(evaluated)
    metrics = json.loads((evaluated / "report.json").read_text())["metrics"]
    folder = _copy(evaluated, tmp_path / "honest")
    with (folder / EVIDENCE).open("wb") as file:
        np.savez(file, **(found | {"test_listings": np.array(10_000)}))
    assert 10 < check_claims(folder) < 60
    lied = _copy(evaluated, tmp_path / "lied", **{"category/both/top1": metrics["category/both/top1"] - 0.5})
    (lied / EVIDENCE).write_bytes((folder / EVIDENCE).read_bytes())
    with pytest.raises(ContractError, match="category/both/top1"):
        check_claims(lied)


@pytest.mark.parametrize("damage", ["missing", "truncated"])
def test_damaged_evidence_is_refused(evaluated: Path, tmp_path: Path, damage: str) -> None:
    folder = _copy(evaluated, tmp_path / "evaluate")
    if damage == "missing":
        (folder / EVIDENCE).unlink()
    else:
        (folder / EVIDENCE).write_bytes((evaluated / EVIDENCE).read_bytes()[:500])
    with pytest.raises(IntegrityError, match="evidence"):
        check_claims(folder)


def test_a_snapshot_without_labels_or_test_listings_proves_what_little_it_claims(
    make_snapshot: Callable[..., Path], tmp_path: Path
) -> None:
    folder = make_snapshot(
        40, lambda row: row.update(age_restricted=None, category=None, attributes=None, split="train")
    )
    evaluate(CFG, folder, tmp_path / "embedded", tmp_path / "evaluate")
    assert check_claims(tmp_path / "evaluate") == 0
