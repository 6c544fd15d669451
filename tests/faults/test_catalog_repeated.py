"""A night replayed, run twice at once, or backfilled out of order: one output, the same hash."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from chain import ONE_PART
from dumps import market, write_dump
from waiting import wait_until

from ecclip.core import digest_of, folder_lock, settings
from ecclip.nights import known_nights, work_path
from ecclip.pipeline import STEPS, run_stage, stages_of

pytestmark = [pytest.mark.spark, pytest.mark.heavy, pytest.mark.fault(6)]
STAGES = stages_of("nightly_catalog", room="catalog")
FIRST, SECOND, THIRD = "2026-11-01", "2026-11-02", "2026-11-03"


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(ONE_PART))
    rows, photos = market(16)
    for number, night in enumerate((FIRST, SECOND, THIRD)):
        changed = [
            row | {"title": f"{row['title']} {night}"} if at % 9 == number else row for at, row in enumerate(rows)
        ]
        write_dump(tmp_path / "work" / "dumps" / night, changed[number:], photos)
        pairs = tmp_path / "work" / "nights" / night / "pairs"  # no champion yet: no photo is compared with its title
        pairs.mkdir(parents=True)
        (pairs / "EMPTY").touch()
    monkeypatch.setenv("ECCLIP_WORKSPACE", str(tmp_path))
    settings.cache_clear()
    yield tmp_path
    settings.cache_clear()


def run(night: str) -> list[dict[str, Any]]:
    return [run_stage(name, night).model_dump() for name in STAGES]


def digests(night: str) -> dict[str, str]:
    return {name: digest_of(work_path(STEPS[name].output, night)) for name in STAGES}


@pytest.mark.slow  # five nights of Spark; test_nights.py has the order of nights without them
def test_a_backfill_out_of_order_and_replays_end_with_one_output_each(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(FIRST)
    in_order = workspace / "in_order"
    shutil.copytree(workspace / "work", in_order / "work", ignore=shutil.ignore_patterns("run"))
    shutil.copy(workspace / "params.yaml", in_order / "params.yaml")

    # the third night arrives before the second one
    run(THIRD)
    third = digests(THIRD)
    run(SECOND)
    late = {night: digests(night) for night in (FIRST, SECOND, THIRD)}
    assert late[THIRD] == third
    assert known_nights()[-1] == {"night": THIRD, "previous": FIRST}
    for _ in range(3):
        for night in (THIRD, FIRST, SECOND):
            assert {report["outcome"] for report in run(night)} == {"unchanged"}
    assert {night: digests(night) for night in late} == late
    shutil.rmtree(workspace / "work" / "nights" / SECOND / "check")
    assert run_stage("check", SECOND).outcome == "written"
    assert digests(SECOND) == late[SECOND], "made again it is the same"

    monkeypatch.setenv("ECCLIP_WORKSPACE", str(in_order))
    settings.cache_clear()
    run(SECOND)
    assert digests(SECOND) == late[SECOND], "the night in order has the bytes of the late one"


def test_two_processes_that_run_one_stage_at_once_write_it_once(workspace: Path) -> None:
    run_stage("extract", FIRST)
    output = work_path(STEPS["land"].output, FIRST)
    command = [sys.executable, "-m", "ecclip", "run", "land", "--night", FIRST]
    with folder_lock(output):  # neither begins before both are there
        both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
        wait_until(lambda: all(_holds_open(process, f".{output.name}.lock") for process in both), "both to wait")
    said = [process.communicate() for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    reports = [json.loads(out) for out, _ in said]
    assert sorted(report["outcome"] for report in reports) == ["unchanged", "written"]
    assert {report["digest"] for report in reports} == {digest_of(output)}
    assert [path.name for path in output.parent.iterdir() if ".tmp-" in path.name] == []


def _holds_open(process: subprocess.Popen[str], name: str) -> bool:
    assert process.poll() is None, "it did not wait"
    return any(Path(file.path).name == name for file in psutil.Process(process.pid).open_files())
