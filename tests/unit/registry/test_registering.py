"""A bundle becomes one version that says where it comes from."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml
from bundles import write_bundle
from hostile_texts import HOSTILE_TEXTS, STEERING
from markdown_it import MarkdownIt
from registries import MLFLOW_WARNINGS, mlflow_client

from ecclip import registry
from ecclip.atomic import files_below
from ecclip.core import ContractError, IntegrityError, digest_of, settings, verify_folder
from ecclip.formats.bundle import lineage_of
from ecclip.formats.service import INPUTS, OUTPUTS, VARIES

pytestmark = [pytest.mark.filterwarnings(*MLFLOW_WARNINGS), pytest.mark.usefixtures("workspace")]

NIGHT = "2026-11-01"


def _spool(path: Path, steps: int) -> Path:
    lines = [json.dumps({"step": step, "name": "loss", "value": 1 / (step + 1)}) for step in range(steps)]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_version_carries_digest_lineage_night_snapshot_and_commit(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle", NIGHT)
    registered = registry.register(bundle, NIGHT)
    reference = registry.version_of(digest_of(bundle))
    assert reference is not None
    assert (reference.version, reference.run_id) == (registered.version, registered.run_id)
    manifest = verify_folder(bundle)
    assert {name: reference.tags[name] for name in ("lineage_id", "night", "snapshot_digest", "git_commit")} == {
        "lineage_id": digest_of(bundle)[:16],
        "night": NIGHT,
        "snapshot_digest": manifest.inputs["snapshot"],
        "git_commit": "c" * 40,
    }
    assert registry.model_version(registered.version).aliases == ("challenger",)


def test_the_bundle_store_holds_the_bundle_under_its_digest(workspace: Path, tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle", NIGHT)
    digest = registry.register(bundle, NIGHT).digest
    stored = workspace / "work" / "bundles" / digest
    assert verify_folder(stored) == verify_folder(bundle)
    (stored / "report.json").write_text("{}")
    registry.register(bundle, NIGHT)
    assert digest_of(stored) == digest
    verify_folder(stored)


def test_a_bundle_that_is_not_what_its_manifest_says_is_refused(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle", NIGHT)
    (bundle / "towers" / "towers.safetensors").write_bytes(b"\0" * 4096)
    with pytest.raises(IntegrityError, match=r"towers\.safetensors"):
        registry.register(bundle, NIGHT)
    assert registry.champion() is None
    assert registry.version_of(digest_of(bundle)) is None


def test_the_run_has_report_metrics_training_metrics_params_and_files(tmp_path: Path) -> None:
    metrics = {"category/both/top1": 0.8, "matching/both/recall@10": 0.5, "attribute:색/both/f1": 0.25}
    bundle = write_bundle(tmp_path / "bundle", NIGHT, metrics)
    run_id = registry.register(bundle, NIGHT, _spool(tmp_path / "metrics.jsonl", 7)).run_id
    store = mlflow_client()
    run = store.get_run(run_id)
    assert run.data.metrics == {
        "category/both/top1": 0.8,
        "matching/both/recall_at_10": 0.5,
        "attribute:색/both/f1": 0.25,
        "train/loss": pytest.approx(1 / 7),
    }
    assert run.data.params == {"export.opset": "18", "export.batch.largest": "32"}
    assert run.info.status == "FINISHED"
    assert {file.path for file in store.list_artifacts(run_id)} >= {
        "report.html",
        "report.json",
        "bundle.json",
    }
    history = sorted(store.get_metric_history(run_id, "train/loss"), key=lambda metric: metric.step)
    assert [metric.step for metric in history] == list(range(7))


def _artifacts(workspace: Path, location: str) -> Path:
    """Return the folder that an artifact location of a local store means."""
    assert location.startswith("mlflow-artifacts:/")
    return workspace / "work" / "mlflow" / "artifacts" / location.removeprefix("mlflow-artifacts:/")


def test_the_version_page_lists_inputs_and_outputs_of_the_service(workspace: Path, tmp_path: Path) -> None:
    registered = registry.register(write_bundle(tmp_path / "bundle", NIGHT), NIGHT)
    version = mlflow_client().get_model_version("ecclip", registered.version)
    assert NIGHT in version.description
    assert "category/both/top1 | 0.8000" in version.description
    model = mlflow_client().get_logged_model(version.source.removeprefix("models:/"))
    folder = _artifacts(workspace, model.artifact_location)
    signature = yaml.safe_load((folder / "MLmodel").read_text())["signature"]
    for side, declared in (("inputs", INPUTS), ("outputs", OUTPUTS)):
        columns = {column["name"]: column for column in json.loads(signature[side])}
        assert list(columns) == [one.name for one in declared]
        for one, column in zip(declared, columns.values(), strict=True):
            assert (column["type"] == "array") is (one.size == VARIES)
            assert (column.get("items", column)["type"] == "float") is (one.datatype == "FP32")
    assert json.loads((folder / "pointer.json").read_text())["digest"] == registered.digest


def test_a_local_store_has_the_bundle_by_links_and_no_second_copy(workspace: Path, tmp_path: Path) -> None:
    registered = registry.register(write_bundle(tmp_path / "bundle", NIGHT), NIGHT)
    version = mlflow_client().get_model_version("ecclip", registered.version)
    model = mlflow_client().get_logged_model(version.source.removeprefix("models:/"))
    logged = _artifacts(workspace, model.artifact_location) / "bundle"
    stored = workspace / "work" / "bundles" / registered.digest
    files = [path.relative_to(stored) for path in files_below(stored)]
    assert [path.relative_to(logged) for path in files_below(logged)] == files
    assert all((logged / path).samefile(stored / path) for path in files)
    assert digest_of(logged) == registered.digest


def test_the_artifacts_of_a_local_store_lie_in_the_work_folder(workspace: Path, tmp_path: Path) -> None:
    run_id = registry.register(write_bundle(tmp_path / "bundle", NIGHT), NIGHT).run_id
    assert (workspace / "work" / "mlflow" / "artifacts" / run_id / "artifacts" / "report.html").is_file()


def test_a_broken_line_of_the_spool_is_named(tmp_path: Path) -> None:
    spool = _spool(tmp_path / "metrics.jsonl", 2)
    spool.write_text(spool.read_text() + '{"step": 2, "na')
    with pytest.raises(ContractError, match=r"metrics\.jsonl:3"):
        registry.register(write_bundle(tmp_path / "bundle", NIGHT), NIGHT, spool)


def test_what_became_known_later_is_added_and_what_was_known_stays(
    workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = write_bundle(tmp_path / "bundle", NIGHT)
    monkeypatch.setenv("ECCLIP_RUN_ID", "first")
    settings.cache_clear()
    version = registry.register(bundle, NIGHT).version
    outs = [{"path": f"work/snapshots/{NIGHT}", "md5": "abc.dir"}]
    (workspace / "dvc.lock").write_text(yaml.safe_dump({"stages": {f"publish@{NIGHT}": {"outs": outs}}}))
    monkeypatch.setenv("ECCLIP_RUN_ID", "second")
    settings.cache_clear()
    registry.register(bundle, NIGHT)
    tags = registry.model_version(version).tags
    assert (tags["dvc_version"], tags["airflow_run"]) == ("abc.dir", "first")


def test_lineage_leads_back_and_data_leads_forward(tmp_path: Path) -> None:
    first = registry.register(write_bundle(tmp_path / "1", NIGHT, seed=1), NIGHT)
    second = registry.register(write_bundle(tmp_path / "2", NIGHT, seed=2), NIGHT)
    other = registry.register(write_bundle(tmp_path / "3", "2026-11-02", seed=3), "2026-11-02")
    found = registry.trace(lineage_of(second.digest))
    assert (found["version"], found["run_id"], found["night"]) == (second.version, second.run_id, NIGHT)
    assert registry.trace(other.digest)["version"] == other.version
    snapshot = found["snapshot_digest"]
    assert [entry["version"] for entry in registry.trace_back(snapshot)] == [first.version, second.version]
    assert [entry["version"] for entry in registry.trace("2026-11-02")["versions"]] == [other.version]
    with pytest.raises(ContractError, match="linked"):
        registry.trace("0123456789abcdef")


def test_names_of_a_dump_are_text_in_the_description_of_a_version(tmp_path: Path) -> None:
    names = [*HOSTILE_TEXTS[:-1], "..", "../../etc", "/", "long " * 80]  # JSON files hold no half pair
    metrics = {f"attribute:{text}/both/accuracy": 0.5 for text in names}
    registered = registry.register(write_bundle(tmp_path / "bundle", NIGHT, metrics), NIGHT)
    description = mlflow_client().get_model_version("ecclip", registered.version).description
    page = MarkdownIt("commonmark", {"html": True}).enable("table").render(description)
    assert not any(mark in page for mark in ("<script", "<img", "<a ", "<h1"))
    assert page.count("<td>0.5000</td>") == len(metrics)
    assert STEERING.search(description) is None


def test_another_sound_bundle_under_the_digest_of_ours_is_replaced(workspace: Path, tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle", NIGHT, seed=1)
    digest = registry.register(bundle, NIGHT).digest
    kept = workspace / "work" / "bundles" / digest
    shutil.rmtree(kept)
    shutil.copytree(write_bundle(tmp_path / "other", NIGHT, seed=2), kept)
    verify_folder(kept)
    assert registry.register(bundle, NIGHT).digest == digest_of(kept) == digest
