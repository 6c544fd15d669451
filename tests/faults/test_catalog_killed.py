"""SIGKILL in the middle of a Spark write: the next run gives the bytes of an undisturbed one and nothing is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from chain import chain_inputs, stage_function
from waiting import wait_ended, wait_until

from ecclip.core import digest_of
from ecclip.pipeline import stage_model

pytestmark = [pytest.mark.spark, pytest.mark.heavy, pytest.mark.fault(1)]
RUN = """
import importlib, pathlib, sys
from ecclip.pipeline import STEPS, stage_model
name, *paths = sys.argv[1:]
module, function = STEPS[name].function.split(":")
given = {key: pathlib.Path(path) for key, _, path in (text.partition("=") for text in paths)}
getattr(importlib.import_module(module), function)(cfg=stage_model(name)(), **given)
"""


@pytest.mark.parametrize("name", ["ingest", pytest.param("clean", marks=pytest.mark.slow)])
def test_a_killed_driver_leaves_nothing_and_the_rerun_is_byte_identical(
    market_nights: Path, tmp_path: Path, name: str
) -> None:
    undisturbed = market_nights / "1"
    given = {**chain_inputs(name, undisturbed), "output": tmp_path / name}
    output = given["output"]
    environment = {**os.environ, "ECCLIP_WORKSPACE": str(tmp_path)}
    command = [sys.executable, "-c", RUN, name, *(f"{key}={path}" for key, path in given.items())]
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

    report = stage_function(name)(cfg=stage_model(name)(), **given)
    assert report.outcome == "written"
    assert digest_of(output) == digest_of(undisturbed / name)
    assert (output / "manifest.json").read_bytes() == (undisturbed / name / "manifest.json").read_bytes()
    left = [path.name for path in tmp_path.rglob("*") if "tmp" in path.name or "_temporary" in path.name]
    assert left == []
