"""dvc.yaml is the table of stages, and what one caller has made is nothing to do for the other."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from dumps import market, write_dump
from dvc_workspaces import dvc, make_dvc_workspace
from snapshots import write_snapshot
from typer.testing import CliRunner

from ecclip.cli import app
from ecclip.core import ConfigError, ServiceError, settings
from ecclip.nights import CORRECTIONS, EXPECTATIONS, POLICIES, TAXONOMIES
from ecclip.pipeline import STEPS, run_stage, section_of
from ecclip.registry import dvc_version, record_version

pytestmark = pytest.mark.heavy

ROOT = Path(__file__).parents[2]
NIGHT, NEXT = "2026-11-01", "2026-11-02"


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    yield make_dvc_workspace(tmp_path / "workspace", monkeypatch, [NIGHT])
    monkeypatch.undo()
    settings.cache_clear()


def _catalog_outputs(workspace: Path, night: str) -> None:
    """Leave what the catalog's stages would leave, as far as dvc looks: the snapshot and folders before it."""
    write_snapshot(workspace / "work" / "snapshots" / night, listings=12)
    for name in ("ingest", "check", "clean", "group", "pairs"):
        folder = workspace / "work" / "nights" / night / name
        folder.mkdir(parents=True)
        (folder / "rows").write_text(name)


def test_the_stages_of_dvc_are_those_of_the_pipeline() -> None:
    described = yaml.safe_load((ROOT / "dvc.yaml").read_text())
    assert described["vars"] == ["work/nights.yaml"]
    expected = {}
    for name, step in STEPS.items():
        paths = {
            key: ("work/" + template.format(night="${key}", previous="${item.previous}")).replace("work/../", "")
            for key, template in {**step.inputs, "output": step.output}.items()
        }
        inputs = [] if step.external else [paths[key] for key in step.inputs]
        expected[name] = {
            "foreach": "${nights}",
            "do": {
                "cmd": f"ecclip run {name} --night ${{key}}",
                "deps": [*inputs, *step.sources],
                "params": [section_of(name)],
                "outs": [{paths["output"]: {"persist": True} | ({"cache": False} if step.external else {})}],
            }
            | ({"always_changed": True} if step.external else {}),
        }
    assert described["stages"] == expected


def test_the_committed_file_is_the_one_that_the_command_prints() -> None:
    printed = CliRunner().invoke(app, ["pipeline", "dvc"])
    assert printed.exit_code == 0
    assert printed.output == (ROOT / "dvc.yaml").read_text()


def test_what_a_stage_reads_is_written_by_a_stage_before_it() -> None:
    # of the source outside; of people
    written = {"nights/{night}/inventory.json", EXPECTATIONS, CORRECTIONS, POLICIES, TAXONOMIES}
    for step in STEPS.values():
        own = {path for path in step.inputs.values() if "{previous}" not in path}
        assert own <= written
        written.add(step.output)


def test_every_stage_has_its_section_of_parameters() -> None:
    assert set(yaml.safe_load((ROOT / "params.yaml").read_text())) >= set(map(section_of, STEPS))


def test_dvc_writes_only_below_the_work_folder_and_sends_nothing() -> None:
    config = (ROOT / ".dvc" / "config").read_text()
    for line in ("dir = ../work/dvc/cache", "site_cache_dir = work/dvc/site", "analytics = false"):
        assert line in config


def test_a_workspace_without_nights_has_nothing_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    empty = make_dvc_workspace(tmp_path / "empty", monkeypatch, [])
    done = dvc(empty, "status")
    settings.cache_clear()
    assert done.returncode == 0, done.stderr
    assert "tracked in this project yet" in done.stdout or "up to date" in done.stdout


def test_the_stages_are_named_by_their_nights(workspace: Path) -> None:
    names = dvc(workspace, "stage", "list", "--name-only").stdout.split()
    assert names == [f"{name}@{NIGHT}" for name in STEPS]


def test_what_a_stage_made_and_was_recorded_is_nothing_to_do_for_dvc(workspace: Path) -> None:
    _catalog_outputs(workspace, NIGHT)
    run_stage("start", NIGHT)
    before = (workspace / "work/nights" / NIGHT / "start/manifest.json").read_bytes()
    version = record_version(NIGHT, ["publish", "start"])
    assert version == dvc_version(NIGHT)
    assert version.endswith(".dir")
    done = dvc(workspace, "repro", "--single-item", f"start@{NIGHT}")
    assert done.returncode == 0, done.stderr
    assert "didn't change, skipping" in done.stdout
    assert (workspace / "work/nights" / NIGHT / "start/manifest.json").read_bytes() == before
    cached = workspace / "work/dvc/cache/files/md5" / version[:2] / version[2:]
    assert {entry["relpath"] for entry in json.loads(cached.read_text())} >= {"manifest.json", "statistics.json"}


def test_what_dvc_made_has_the_bytes_of_the_stage_and_is_unchanged_for_it(workspace: Path) -> None:
    _catalog_outputs(workspace, NIGHT)
    output = workspace / "work/nights" / NIGHT / "start"
    done = dvc(workspace, "repro", "--single-item", f"start@{NIGHT}")
    assert done.returncode == 0, done.stdout + done.stderr
    made = {path.name: path.read_bytes() for path in output.iterdir()}
    assert run_stage("start", NIGHT).outcome == "unchanged"
    (output / "manifest.json").unlink()
    assert run_stage("start", NIGHT).outcome == "written"
    assert {path.name: path.read_bytes() for path in output.iterdir()} == made
    assert "up to date" in dvc(workspace, "status", f"start@{NIGHT}").stdout


def test_dvc_looks_at_the_source_each_time_and_goes_on_where_it_has_changed(workspace: Path) -> None:
    rows, photos = market(2)
    dump = write_dump(workspace / "work" / "dumps" / NIGHT, rows, photos)

    def ran() -> list[str]:
        done = dvc(workspace, "repro", f"land@{NIGHT}")
        assert done.returncode == 0, done.stdout + done.stderr
        return [name for name in STEPS if f"Running stage '{name}@{NIGHT}'" in done.stdout]

    assert ran() == ["extract", "land"]
    assert ran() == ["extract"]
    (dump / "listings-0001.jsonl").write_text(json.dumps({"listing_id": "new", "title": "lamp"}) + "\n")
    assert ran() == ["extract", "land"]
    assert (workspace / "work/nights" / NIGHT / "land/listings/listings-0001.jsonl").is_file()


def test_another_night_changes_nothing_of_the_one_that_is_recorded(workspace: Path) -> None:
    from ecclip.nights import add_night, known_nights

    _catalog_outputs(workspace, NIGHT)
    version = record_version(NIGHT, ["publish"])
    add_night(NEXT)
    assert known_nights()[-1] == {"night": NEXT, "previous": NIGHT}
    _catalog_outputs(workspace, NEXT)
    record_version(NEXT, ["publish"])
    assert dvc_version(NIGHT) == version
    assert "up to date" in dvc(workspace, "status", f"publish@{NIGHT}", f"publish@{NEXT}").stdout


def test_a_missing_output_is_named(workspace: Path) -> None:
    _catalog_outputs(workspace, NIGHT)
    with pytest.raises(ServiceError, match=r"nights/2026-11-01/start.*does not exist"):
        record_version(NIGHT, ["start"])
    assert dvc_version(NIGHT) == ""


def test_a_folder_that_is_no_dvc_workspace_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECCLIP_WORKSPACE", str(tmp_path))
    settings.cache_clear()
    with pytest.raises(ConfigError, match="not a DVC workspace"):
        record_version(NIGHT, ["start"])
    settings.cache_clear()
