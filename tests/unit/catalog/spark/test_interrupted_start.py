"""Ctrl-C while Spark starts leaves no JVM behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from waiting import wait_until

pytestmark = pytest.mark.fault(51)

_START = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from ecclip.catalog.spark.session import spark_session
spark_session(1)
"""


def _session(number: int) -> list[str]:
    """Return the names of the programs that run in a session."""
    found = []
    for one in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, ProcessLookupError):
            if os.getsid(one.pid) == number and one.status() != psutil.STATUS_ZOMBIE:
                found.append(one.name())
    return found


def test_a_start_of_spark_that_is_interrupted_leaves_no_process(tmp_path: Path) -> None:
    environment = os.environ | {"ECCLIP_WORKSPACE": str(tmp_path)}
    process = subprocess.Popen(
        [sys.executable, "-c", _START], env=environment, start_new_session=True, stderr=subprocess.DEVNULL
    )
    wait_until(lambda: "java" in _session(process.pid) or process.poll() is not None, "the JVM")
    assert process.poll() is None
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait() != 0
    wait_until(lambda: not _session(process.pid), "the end of all processes")
