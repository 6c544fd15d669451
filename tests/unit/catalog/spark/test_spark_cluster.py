"""A real standalone master with two workers gives the bytes of ``local[2]``."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from chain import run_chain
from dumps import market, write_dump
from spark_cluster import Cluster, spark_cluster

from ecclip.core import digest_of

pytestmark = [pytest.mark.spark, pytest.mark.heavy]

_INGEST = """
import pathlib, sys
from pyspark.sql import SparkSession
from ecclip.catalog.ingest.stage import IngestConfig, ingest
ingest(IngestConfig(parts=3), pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
context = SparkSession.getActiveSession().sparkContext
print("RAN ON", context.master, context._jsc.sc().getExecutorMemoryStatus().size() - 1, "executors")
print("OPTION", context.getConf().get("spark.executor.memory"), context.getConf().get("spark.ui.enabled"))
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with spark_cluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running


@pytest.mark.timeout(900)  # master, two workers, two executors and two drivers start: a guard against hanging alone
@pytest.mark.slow
def test_ingest_on_a_cluster_has_the_bytes_of_this_machine(cluster: Cluster, tmp_path: Path) -> None:
    rows, photos = market(40)
    hostile = ['{"listing_id": "cut', {"listing_id": "no title"}, {"title": "no id"}]
    dump = write_dump(tmp_path / "dump", [*rows, *hostile], photos, files=4)
    here = run_chain(tmp_path / "here", dump, until="ingest", ingest={"parts": 3})
    there = tmp_path / "there" / "ingest"
    options = "spark.executor.memory=900m, spark.driver.host=127.0.0.1 spark.driver.bindAddress=127.0.0.1"
    options += f" spark.executor.extraJavaOptions={cluster.java_options}"
    environment = {**cluster.environment, "ECCLIP_WORKSPACE": str(tmp_path), "ECCLIP_SPARK_CONF": options}
    done = subprocess.run(
        [sys.executable, "-c", _INGEST, str(here.parent / "land"), str(there)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert f"RAN ON {cluster.master} 2 executors" in done.stdout
    assert "OPTION 900m false" in done.stdout
    assert digest_of(there) == digest_of(here)
