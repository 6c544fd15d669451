"""The one Spark session of a process: quiet, leaving nothing behind, started as fast as a JVM can.

A local master uses loopback only. On a cluster the driver's address is the machine's, or what
``ECCLIP_SPARK_CONF`` says; its Python workers need the same Python with ecclip in it, and see the same work folder.
"""

from __future__ import annotations

import atexit
import logging
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
from pyspark.sql import SparkSession

from ecclip.catalog.spark.classes import sharing_options
from ecclip.catalog.spark.java import use_java
from ecclip.core import ServiceError, get_logger, settings

# a process of many stages fills the 48 MiB code cache of one tier, and the JVM then stops compiling
_CODE_CACHE = "-XX:ReservedCodeCacheSize=256m"
# a stage is a short process: the first compiler tier and the serial collector start in half the time; from a heap of
# 1/64 of the memory, a third of it young, collecting would be a sixth of a small night's work
_START_FAST = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -XX:InitialRAMPercentage=6 -XX:NewRatio=1 -XX:-UsePerfData"
# a stage with much data runs long enough for the second compiler tier and the parallel collector to pay off
_RUN_LONG = "-XX:+UseParallelGC -XX:-UsePerfData"
# what pyspark looks up for every column: each time Java would search package after package in every jar of Spark
_ASKED_FOR = ("functions", "org.apache.spark.sql.functions", "PythonUtils", "PythonSQLUtils", "org")
_EXIT_S = 60.0  # for the JVM to remove its files
_LARGE_BYTES = 256 << 20  # below this compiling for speed costs more than it gains; by judgment
_LARGE_ROWS = 50_000  # likewise
_LOOPBACK = "127.0.0.1"
_DEFAULTS = {
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.sql.catalogImplementation": "in-memory",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.adaptive.enabled": "false",  # the number of output files must not depend on sizes
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    "spark.sql.parquet.columnarReaderBatchSize": "512",  # photos are in these batches
    "spark.sql.execution.arrow.pyspark.enabled": "true",
    "spark.sql.execution.arrow.maxRecordsPerBatch": "512",
    "spark.sql.execution.pythonUDF.arrow.enabled": "true",
    "spark.python.daemon.module": "ecclip.catalog.spark.daemon",
    # it would look up the calling line for every column: a tenth of the driver's work on a small night
    "spark.python.sql.dataFrameDebugging.enabled": "false",
    "spark.hadoop.mapreduce.fileoutputcommitter.marksuccessfuljobs": "false",
    "spark.hadoop.parquet.summary.metadata.level": "none",
    # Hadoop sets file modes itself, ignoring the process umask: make output private to its user
    "spark.hadoop.fs.permissions.umask-mode": "077",
}


def spark_session(shuffle_partitions: int, *inputs: Path, rows: int = 0) -> SparkSession:
    """Return the session of this process, started at the first call and stopped when the process ends.

    ``inputs`` are the folders that the stage reads and ``rows`` how many rows it works on, where it knows: for little
    data compiling a plan costs more than running it.

    Raises:
        ServiceError: the JVM did not start, or the master does not answer.
    """
    size = sum(path.stat().st_size for folder in inputs for path in folder.rglob("*") if path.is_file())
    large = size > _LARGE_BYTES or rows > _LARGE_ROWS
    session = SparkSession.getActiveSession() or _start(large)
    of_the_stage = {
        "spark.sql.shuffle.partitions": str(shuffle_partitions),
        "spark.sql.codegen.wholeStage": str(large).lower(),
        "spark.sql.codegen.factoryMode": "FALLBACK" if large else "NO_CODEGEN",
    }
    for name, value in of_the_stage.items():
        if name not in settings().spark_conf:
            session.conf.set(name, value)
    return session


def _start(large: bool) -> SparkSession:
    java, scratch = use_java(), _scratch()
    os.environ.setdefault("SPARK_LAUNCHER_OPTS", _START_FAST)
    os.environ["PYSPARK_DRIVER_PYTHON"] = sys.executable
    if _is_local():
        os.environ["SPARK_LOCAL_IP"] = _LOOPBACK
        os.environ["PYSPARK_PYTHON"] = sys.executable
    else:
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = SparkSession.builder.master(settings().spark_master).appName("ecclip")
    for name, value in _options(scratch, large).items():
        builder = builder.config(name, value)
    try:
        with _no_jvm_left_behind():
            session = builder.getOrCreate()
    except Exception as error:
        raise ServiceError(
            "the Spark session did not start", value=error, limit=settings().spark_master, next_step=f"{java} -version"
        ) from error
    _look_up_once(session)
    logging.getLogger("py4j").setLevel(logging.WARNING)  # py4j logs each closed connection, even while Python exits
    atexit.register(_stop, session, scratch)
    return session


@contextmanager
def _no_jvm_left_behind() -> Iterator[None]:
    """End the JVM of a session that does not come about.

    One that is interrupted while it starts would never end: pyspark has removed the folder into which it says where it
    listens, and its failure to say so does not end its other threads.
    """
    before = {child.pid for child in psutil.Process().children()}
    try:
        yield
    except BaseException:
        for child in psutil.Process().children(recursive=True):
            if child.pid not in before:
                with suppress(psutil.NoSuchProcess):
                    child.kill()
        raise


def _look_up_once(session: SparkSession) -> None:
    jvm: Any = session._jvm
    for name in _ASKED_FOR:
        setattr(jvm, name, getattr(jvm, name))


def _is_local() -> bool:
    return re.fullmatch(r"local(-cluster)?(\[.*\])?", settings().spark_master) is not None


def _options(scratch: Path, large: bool) -> dict[str, str]:
    log4j = Path(__file__).with_name("log4j2.properties")
    pace = _RUN_LONG if large else _START_FAST
    quiet = f"-Xlog:disable -Xlog:all=error,cds=off:stderr -Dlog4j2.configurationFile={log4j}"
    java_options = f"{pace} {_CODE_CACHE} -Xshare:auto {sharing_options()} {quiet}"
    given = settings().spark_conf
    addresses = {"spark.driver.bindAddress": _LOOPBACK, "spark.driver.host": _LOOPBACK} if _is_local() else {}
    return {
        **_DEFAULTS,
        **addresses,
        "spark.driver.memory": settings().spark_driver_memory,
        "spark.local.dir": str(scratch),
        "spark.sql.warehouse.dir": str(scratch / "warehouse"),
        **given,
        "spark.driver.extraJavaOptions": f"{java_options} {given.get('spark.driver.extraJavaOptions', '')}".strip(),
    }


def _scratch() -> Path:
    folder = settings().work / "run"
    folder.mkdir(parents=True, exist_ok=True)
    for leftover in folder.glob("spark-*"):  # left by killed processes
        owner = leftover.name.removeprefix("spark-")
        if owner.isdigit() and not psutil.pid_exists(int(owner)):
            shutil.rmtree(leftover, ignore_errors=True)
    scratch = folder / f"spark-{os.getpid()}"
    scratch.mkdir(exist_ok=True)
    return scratch


def _stop(session: SparkSession, scratch: Path) -> None:
    gateway: Any = session.sparkContext._gateway
    process: subprocess.Popen[bytes] = gateway.proc
    try:
        session.stop()
        gateway.shutdown()
        if process.stdin:
            process.stdin.close()  # the JVM ends when its parent's pipe does
        process.wait(timeout=_EXIT_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        get_logger().warning("the Spark process did not exit by itself", error=str(error))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
