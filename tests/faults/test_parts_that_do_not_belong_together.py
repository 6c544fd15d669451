"""Towers, heads, report and bundle are one night's, or nothing is exported and nothing becomes champion."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from registries import MLFLOW_WARNINGS, mlflow_client
from serving_bundles import sealed, shared_sources, tiny_bundle

from ecclip import registry
from ecclip.core import ContractError, EcclipError, IntegrityError, canonical_json, digest_of, write_atomic
from ecclip.registry import GateConfig, MetricGate
from ecclip.serving.export.stage import ExportConfig, export
from ecclip.tasks import check_claims, load_heads

pytestmark = [pytest.mark.heavy, pytest.mark.fault(44), pytest.mark.filterwarnings(*MLFLOW_WARNINGS)]
NIGHT, TOP1 = "2026-01-01", "category/both/top1"
GATE = GateConfig(metrics={TOP1: MetricGate(floor=0.0)})


@pytest.fixture(scope="module")
def sources() -> list[dict[str, Path]]:
    """Return the inputs of export of two nights with other towers and other heads."""
    return [shared_sources(seed) for seed in (0, 1)]


def _change(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    content = json.loads(path.read_text())
    change(content)
    write_atomic(path, canonical_json(content))


def _refused(tmp_path: Path, parts: dict[str, Path], kind: type[EcclipError] = ContractError) -> EcclipError:
    with pytest.raises(kind) as caught:
        export(ExportConfig(golden=10), **parts, output=tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()
    return caught.value


def test_parts_of_one_night_are_exported_with_the_digests_of_all_and_prove_their_claims() -> None:
    bundle = tiny_bundle(0)
    lineage = json.loads((bundle / "bundle.json").read_text())["lineage"]
    assert lineage["towers"] == digest_of(bundle / "towers") == load_heads(bundle / "heads").towers
    told = json.loads((bundle / "report.json").read_text())["lineage"]
    assert told == {"snapshot": lineage["snapshot"], "trained": lineage["train"], "towers": lineage["towers"],
                    "embedded": lineage["embed"], "start_share": "0"}  # fmt: skip
    assert check_claims(bundle) == 1


@pytest.mark.parametrize("part", ["trained", "evaluated", "snapshot"])
def test_a_part_of_another_night_is_refused_with_both_digests(
    sources: list[dict[str, Path]], tmp_path: Path, part: str
) -> None:
    ours, theirs = sources
    mixed = ours | {part: theirs[part]}
    if part == "snapshot":
        shutil.copytree(ours["snapshot"], tmp_path / "other")
        _change(tmp_path / "other" / "manifest.json", lambda content: content.update(key="another"))
        mixed[part] = tmp_path / "other"
    error = _refused(tmp_path, mixed)
    whole = digest_of(mixed["snapshot"]), digest_of(mixed["trained"] / "towers")
    assert error.limit in whole
    assert len(str(error.value)) == 64
    assert error.value != error.limit
    assert "export" in error.next_step


@pytest.mark.parametrize("name", ["heads", "report.json"])
def test_strange_heads_or_a_strange_report_in_our_folder_are_refused(
    sources: list[dict[str, Path]], tmp_path: Path, name: str
) -> None:
    ours, theirs = sources
    mixed = tmp_path / "evaluate"
    shutil.copytree(ours["evaluated"], mixed)
    if name == "heads":
        shutil.rmtree(mixed / name)
        shutil.copytree(theirs["evaluated"] / name, mixed / name)
    else:
        shutil.copy(theirs["evaluated"] / name, mixed / name)
    error = _refused(tmp_path, ours | {"evaluated": mixed})
    assert (error.value, error.limit) == tuple(digest_of(one["trained"] / "towers") for one in (theirs, ours))


def test_parts_without_any_lineage_are_refused(sources: list[dict[str, Path]], tmp_path: Path) -> None:
    shutil.copytree(sources[0]["evaluated"], tmp_path / "evaluate")
    _change(tmp_path / "evaluate" / "heads" / "heads.json", lambda content: content.pop("towers"))
    assert "no digest" in str(_refused(tmp_path, sources[0] | {"evaluated": tmp_path / "evaluate"}))


def test_digests_copied_by_hand_do_not_make_other_towers_ours(sources: list[dict[str, Path]], tmp_path: Path) -> None:
    """Random towers, and heads and a report whose digests were set to theirs."""
    ours, theirs = sources
    shutil.copytree(ours["evaluated"], tmp_path / "evaluate")
    forged = {"towers": digest_of(theirs["trained"] / "towers")}
    _change(tmp_path / "evaluate" / "heads" / "heads.json", lambda content: content.update(forged))
    forged["trained"] = digest_of(theirs["trained"])
    _change(tmp_path / "evaluate" / "report.json", lambda content: content["lineage"].update(forged))
    mixed = ours | {"trained": theirs["trained"], "evaluated": tmp_path / "evaluate"}
    assert "the towers embed a listing otherwise" in str(_refused(tmp_path, mixed))


@pytest.mark.parametrize("claim", [0.99, 1.0, float("nan"), -1.0])
def test_a_report_that_claims_more_than_its_heads_do_is_refused(
    sources: list[dict[str, Path]], tmp_path: Path, claim: float
) -> None:
    shutil.copytree(sources[0]["evaluated"], tmp_path / "evaluate")
    _change(tmp_path / "evaluate" / "report.json", lambda content: content["metrics"].update({TOP1: claim}))
    error = _refused(tmp_path, sources[0] | {"evaluated": tmp_path / "evaluate"})
    assert f"{TOP1} = {claim}" in str(error)
    _change(tmp_path / "evaluate" / "report.json", lambda content: content.update(metrics={"category/smell/top1": 1.0}))
    assert "nothing to count it from" in str(_refused(tmp_path, sources[0] | {"evaluated": tmp_path / "evaluate"}))


@pytest.mark.parametrize("part", ["trained", "evaluated"])
def test_a_part_that_was_changed_after_its_manifest_is_refused(
    sources: list[dict[str, Path]], tmp_path: Path, part: str
) -> None:
    shutil.copytree(sources[0][part], tmp_path / part)
    sealed(tmp_path / part)
    file = next(path for path in sorted((tmp_path / part).rglob("*.json")) if path.name != "manifest.json")
    file.write_text(file.read_text() + " ")
    error = _refused(tmp_path, sources[0] | {part: tmp_path / part}, IntegrityError)
    assert error.value == file


def _registered(bundle: Path) -> registry.Registered:
    return registry.register(bundle, NIGHT)


@pytest.mark.usefixtures("workspace")
def test_the_gate_believes_the_digested_bundle_and_no_run_beside_it(tmp_path: Path) -> None:
    honest = json.loads((tiny_bundle(0) / "bundle.json").read_text())["metrics"][TOP1]
    registered = _registered(tiny_bundle(0))
    mlflow_client().log_metric(registered.run_id, TOP1, 0.99)
    verdict = registry.check_gate(GATE, registered.version, prove=check_claims)
    assert verdict.passed
    assert verdict.compared[0]["challenger"] == honest
    strict = GateConfig(metrics={TOP1: MetricGate(floor=0.98)})
    assert not registry.check_gate(strict, registered.version, prove=check_claims).passed


@pytest.mark.usefixtures("workspace")
def test_a_bundle_whose_report_and_description_differ_is_not_registered(tmp_path: Path) -> None:
    shutil.copytree(tiny_bundle(0), tmp_path / "bundle")
    _change(tmp_path / "bundle" / "report.json", lambda content: content["metrics"].update({TOP1: 0.99}))
    with pytest.raises(ContractError, match="different metrics"):
        _registered(sealed(tmp_path / "bundle"))
    assert registry.version_of(digest_of(tmp_path / "bundle")) is None


@pytest.mark.usefixtures("workspace")
@pytest.mark.parametrize("name", ["towers", "heads"])
def test_a_bundle_with_strange_towers_or_heads_is_not_registered(tmp_path: Path, name: str) -> None:
    shutil.copytree(tiny_bundle(0), tmp_path / "bundle")
    shutil.rmtree(tmp_path / "bundle" / name)
    shutil.copytree(tiny_bundle(1) / name, tmp_path / "bundle" / name)
    with pytest.raises(ContractError, match="towers"):
        _registered(sealed(tmp_path / "bundle"))


@pytest.mark.usefixtures("workspace")
def test_a_sealed_bundle_that_claims_more_than_its_heads_do_is_refused_by_the_gate(tmp_path: Path) -> None:
    shutil.copytree(tiny_bundle(0), tmp_path / "bundle")
    for name in ("report.json", "bundle.json"):
        _change(tmp_path / "bundle" / name, lambda content: content["metrics"].update({TOP1: 0.99}))
    registered = _registered(sealed(tmp_path / "bundle"))
    verdict = registry.check_gate(GATE, registered.version, prove=check_claims)
    assert not verdict.passed
    assert "claims what its heads do not do" in verdict.reasons[0]
    assert registry.model_version(registered.version).tags["gate"] == "refused"


def test_a_bundle_of_the_store_that_was_changed_or_is_gone_is_refused_by_the_gate(workspace: Path) -> None:
    registered = _registered(tiny_bundle(0))
    kept = workspace / "work" / "bundles" / registered.digest
    (kept / "report.html").write_text("<html></html>")
    verdict = registry.check_gate(GATE, registered.version, prove=check_claims)
    assert not verdict.passed
    assert "does not match its digest" in verdict.reasons[0]
    shutil.rmtree(kept)
    assert not registry.check_gate(GATE, registered.version, prove=check_claims).passed
    _registered(tiny_bundle(0))
    assert registry.check_gate(GATE, registered.version, prove=check_claims).passed
