"""SIGKILL in the middle of a Spark write: the next run gives the bytes of an undisturbed one and nothing is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from chain import run_chain, stage_function
from dumps import market, write_dump
from waiting import wait_ended, wait_until

from ecclip.core import digest_of
from ecclip.pipeline import stage_model

pytestmark = [pytest.mark.heavy, pytest.mark.fault(1)]
RUN = """
import sys, pathlib
from ecclip.catalog.{name}.stage import {name}, {name_title}Config
{name}({name_title}Config(), *map(pathlib.Path, sys.argv[1:]))
"""
INPUTS = {"ingest": ["land"], "clean": ["land", "ingest", "none", "none"]}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    work = tmp_path_factory.mktemp("undisturbed")
    rows, photos = market(90)
    run_chain(work, write_dump(work / "dump", rows, photos), until="clean", gate=False)
    return work


@pytest.mark.parametrize("name", ["ingest", "clean"])
def test_a_killed_driver_leaves_nothing_and_the_rerun_is_byte_identical(
    undisturbed: Path, tmp_path: Path, name: str
) -> None:
    inputs = [undisturbed / folder for folder in INPUTS[name]]
    output = tmp_path / name
    environment = {**os.environ, "ECCLIP_WORKSPACE": str(tmp_path)}
    code = RUN.format(name=name, name_title=name.title())
    command = [sys.executable, "-c", code, *map(str, inputs), str(output)]
    with subprocess.Popen(command, env=environment, start_new_session=True, stderr=subprocess.DEVNULL) as driver:
        wait_until(
            lambda: any(tmp_path.glob(f".{name}.tmp-*/**/_temporary")) or driver.poll() is not None, "the first write"
        )
        assert driver.returncode is None, "the stage ended before it was killed"
        children = psutil.Process(driver.pid).children(recursive=True)
        os.kill(driver.pid, signal.SIGKILL)
    assert driver.returncode == -signal.SIGKILL
    assert not output.exists()
    assert any(tmp_path.glob(f".{name}.tmp-*"))
    wait_ended(children, "the JVM and its workers after their driver's")

    report = stage_function(name)(stage_model(name)(), *inputs, output)
    assert report.outcome == "written"
    assert digest_of(output) == digest_of(undisturbed / name)
    assert (output / "manifest.json").read_bytes() == (undisturbed / name / "manifest.json").read_bytes()
    left = [path.name for path in tmp_path.rglob("*") if "tmp" in path.name or "_temporary" in path.name]
    assert left == []
