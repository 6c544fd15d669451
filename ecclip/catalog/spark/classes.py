"""Class data sharing: the classes that Spark loads are stored in one file, which halves the start time of later
JVMs."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from ecclip.catalog.spark.java import describe_java, use_java
from ecclip.core import ServiceError, sha256_bytes

WRITE_CLASSES = "ECCLIP_SPARK_WRITE_CLASSES"
_LIMIT_S = 600  # for writing the file on a busy machine; by judgment


def sharing_options() -> str:
    """Return the JVM options that use the file of shared classes, or write it in the process meant to. Without the file
    a JVM starts normally.
    """
    base, pending = _base_file(), os.environ.get(WRITE_CLASSES)
    below = [str(base)] if base else []
    if pending:
        return " ".join([*[f"-XX:SharedArchiveFile={name}" for name in below], f"-XX:ArchiveClassesAtExit={pending}"])
    return f"-XX:SharedArchiveFile={os.pathsep.join([*below, str(_classes_file())])}"


def _classes_file() -> Path:
    return _file_of("spark-classes", f"{version('pyspark')} {describe_java(use_java())}")


def _base_file() -> Path | None:
    """Return the archive of Java's own classes that Spark's is based on; None if Java ships one."""
    server = use_java().resolve().parents[1] / "lib" / "server"
    brings = server.is_dir() and any(server.glob("*.jsa"))
    return None if brings else _file_of("java-classes", describe_java(use_java()))


def _file_of(what: str, environment: str) -> Path:
    return Path(sys.prefix) / "var" / "ecclip" / f"{what}-{sha256_bytes(environment.encode())[:12]}.jsa"


def prepare_spark(warm_up: Sequence[str]) -> Path:
    """Write the file of shared classes by a process that uses what the stages use of Spark; return its path.

    Spark works without it; with it every session starts in half the time. An existing file is kept.

    Args:
        warm_up: the command of that process; it gets an empty workspace of its own.

    Raises:
        ServiceError: the process failed; the message has its last line.
    """
    target = _classes_file()
    if target.is_file():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        workspace = Path(folder)
        _write_base(workspace)
        pending = workspace / "classes.jsa"
        own = {WRITE_CLASSES: str(pending), "ECCLIP_WORKSPACE": folder, "ECCLIP_SPARK_MASTER": "local[2]"}
        environment = {**os.environ, **own, "ECCLIP_SPARK_CONF": ""}
        run = subprocess.run(warm_up, env=environment, capture_output=True, text=True, timeout=_LIMIT_S, check=False)
        if run.returncode or not pending.is_file():
            raise _not_written(run.stderr)
        pending.replace(target)
    return target


def _write_base(folder: Path) -> None:
    base, pending = _base_file(), folder / "base.jsa"
    if base is None or base.is_file():
        return
    command = [str(use_java()), "-Xshare:dump", f"-XX:SharedArchiveFile={pending}"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=_LIMIT_S, check=False)
    if run.returncode or not pending.is_file():
        raise _not_written(run.stderr + run.stdout)
    pending.replace(base)


def _not_written(output: str) -> ServiceError:
    last = next((line for line in reversed(output.splitlines()) if line.strip()), "nothing was said")
    return ServiceError("the shared classes were not written", value=last, next_step=f"check that {use_java()} runs")
