"""A standalone Spark cluster of this machine, on loopback and free ports: a master and two workers."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyspark
from waiting import HANG_S, wait_until

from ecclip.catalog.spark.classes import sharing_options
from ecclip.catalog.spark.java import use_java


@dataclass(frozen=True)
class Cluster:
    """Where the master listens, the environment of a driver that goes there, and the options of short JVMs."""

    master: str
    environment: dict[str, str]
    java_options: str


@contextlib.contextmanager
def spark_cluster(folder: Path, workers: int = 2) -> Iterator[Cluster]:
    """Start master and workers, wait until all are registered, and end them with their executors."""
    use_java()
    home, root = Path(pyspark.__file__).parent, Path(__file__).parents[2]
    fast = f"-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xshare:auto {sharing_options()}"
    quiet = "-Dspark.master.rest.enabled=false -Dspark.shuffle.service.enabled=false"
    environment = {
        **os.environ,
        "SPARK_HOME": str(home),
        "SPARK_LOCAL_IP": "127.0.0.1",  # the pages of master and workers too
        "SPARK_DAEMON_JAVA_OPTS": f"{fast} {quiet}",
        "SPARK_LAUNCHER_OPTS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
        "PYSPARK_PYTHON": sys.executable,
        "PYTHONPATH": str(root),  # what a worker's Python imports
    }
    processes: list[subprocess.Popen[bytes]] = []
    log = folder / "master.log"

    def start(name: str, *arguments: str) -> None:
        with (folder / f"{name}.log").open("wb") as output:
            command = [str(home / "bin" / "spark-class"), f"org.apache.spark.deploy.{arguments[0]}", *arguments[1:]]
            streams = {"stdin": subprocess.DEVNULL, "stdout": output, "stderr": output}
            processes.append(subprocess.Popen(command, env=environment, cwd=folder, **streams))

    def awaited(pattern: str, count: int) -> str:
        def found() -> list[str]:
            ended = [process.returncode for process in processes if process.poll() is not None]
            assert not ended, f"ended with {ended}: {[path.read_text()[-2000:] for path in folder.glob('*.log')]}"
            lines = re.findall(pattern, log.read_text())
            return lines if len(lines) >= count else []

        return wait_until(found, f"{pattern} in {log}")[0]

    try:
        start("master", "master.Master", "--host", "127.0.0.1", "--port", "0", "--webui-port", "0")
        master = awaited(r"Starting Spark master at (spark://\S+)", 1)
        for number in range(workers):
            place = ["--host", "127.0.0.1", "--webui-port", "0", "--work-dir", str(folder / f"worker-{number}")]
            start(f"worker-{number}", "worker.Worker", "--cores", "1", "--memory", "1g", *place, master)
        awaited(r"Registering worker", workers)
        yield Cluster(master, {**environment, "ECCLIP_SPARK_MASTER": master}, fast)
    finally:
        for process in reversed(processes):
            process.terminate()
        for process in processes:
            process.wait(HANG_S)
