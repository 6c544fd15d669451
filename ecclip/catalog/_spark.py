"""The one Spark session of a process: quiet, on loopback, nothing left behind, started as fast as a JVM can."""

from __future__ import annotations

import atexit
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
from pyspark.sql import SparkSession

from ecclip.catalog._spark_classes import WRITE_CLASSES, classes_file
from ecclip.core import ServiceError, get_logger, settings

# a process of many stages compiles more than the 48 MiB that one tier gets, and then compiles nothing any more
_CODE_CACHE = "-XX:ReservedCodeCacheSize=256m"
# a stage is a short process: the first compiler tier and the serial collector start in half the time
_START_FAST = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -XX:-UsePerfData"
# a stage of much data runs long enough for the second compiler tier and the parallel collector to pay
_RUN_LONG = "-XX:+UseParallelGC -XX:-UsePerfData"
_EXIT_S = 60.0
_LARGE_BYTES = 256 << 20
_LARGE_ROWS = 50_000


def spark_session(shuffle_partitions: int, *inputs: Path, rows: int = 0) -> SparkSession:
    """Return the session of this process, started at the first call and stopped when the process ends.

    ``inputs`` are the folders that the stage reads and ``rows`` how many rows it works on, where it knows: for little
    data compiling a plan costs more than running it.

    Raises:
        ServiceError: no Java, or the JVM did not start.
    """
    size = sum(path.stat().st_size for folder in inputs for path in folder.rglob("*") if path.is_file())
    large = size > _LARGE_BYTES or rows > _LARGE_ROWS
    session = SparkSession.getActiveSession() or _start(large)
    session.conf.set("spark.sql.shuffle.partitions", str(shuffle_partitions))
    session.conf.set("spark.sql.codegen.wholeStage", str(large).lower())
    session.conf.set("spark.sql.codegen.factoryMode", "FALLBACK" if large else "NO_CODEGEN")
    return session


def _start(large: bool) -> SparkSession:
    if shutil.which("java") is None and not os.environ.get("JAVA_HOME"):
        raise ServiceError("Spark needs Java 17", next_step="apt-get install openjdk-17-jre-headless")
    scratch = _scratch()
    os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"
    os.environ.setdefault("SPARK_LAUNCHER_OPTS", _START_FAST)
    os.environ["PYSPARK_PYTHON"] = os.environ["PYSPARK_DRIVER_PYTHON"] = sys.executable
    builder = SparkSession.builder.master(settings().spark_master).appName("ecclip")
    for name, value in _options(scratch, large).items():
        builder = builder.config(name, value)
    try:
        session = builder.getOrCreate()
    except Exception as error:
        raise ServiceError("the Spark session did not start", value=error, next_step="java -version") from error
    logging.getLogger("py4j").setLevel(logging.WARNING)  # it reports each closed connection, also while Python ends
    atexit.register(_stop, session, scratch)
    return session


def _options(scratch: Path, large: bool) -> dict[str, str]:
    log4j = Path(__file__).with_name("log4j2.properties")
    archive, pending = classes_file(), os.environ.get(WRITE_CLASSES)
    sharing = f"-XX:ArchiveClassesAtExit={pending}" if pending else f"-XX:SharedArchiveFile={archive}"
    pace = _RUN_LONG if large else _START_FAST
    quiet = f"-Xlog:disable -Xlog:all=error:stderr -Dlog4j2.configurationFile={log4j}"
    return {
        "spark.driver.memory": settings().spark_driver_memory,
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.extraJavaOptions": f"{pace} {_CODE_CACHE} -Xshare:auto {sharing} {quiet}",
        "spark.local.dir": str(scratch),
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.warehouse.dir": str(scratch / "warehouse"),
        "spark.sql.catalogImplementation": "in-memory",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.adaptive.enabled": "false",  # the number of output files must not follow from sizes
        "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
        "spark.sql.parquet.columnarReaderBatchSize": "512",  # photos are in these batches
        "spark.sql.execution.arrow.pyspark.enabled": "true",
        "spark.sql.execution.arrow.maxRecordsPerBatch": "512",
        "spark.sql.execution.pythonUDF.arrow.enabled": "true",
        "spark.hadoop.mapreduce.fileoutputcommitter.marksuccessfuljobs": "false",
        "spark.hadoop.parquet.summary.metadata.level": "none",
    }


def _scratch() -> Path:
    folder = settings().work / "run"
    folder.mkdir(parents=True, exist_ok=True)
    for leftover in folder.glob("spark-*"):  # of processes that were killed
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
        get_logger().warning("the Spark process did not end by itself", error=str(error))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
