"""Spark finds a Java: the machine's where it is new enough, else the package's."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ecclip.catalog.spark.java import describe_java, use_java
from ecclip.core import settings

pytestmark = pytest.mark.heavy

_SHUFFLE = """
import os, sys
from ecclip.catalog.spark.session import spark_session
spark = spark_session(2)
rows = spark.range(100).selectExpr("id % 7 as key", "id").groupBy("key").sum("id").orderBy("key").collect()
seen = spark.range(10).mapInArrow(lambda batches: batches, "id long").count()
print("FOUND", [row[1] for row in rows], seen, os.environ["JAVA_HOME"])
"""


@pytest.fixture(autouse=True)
def _workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("ECCLIP_WORKSPACE", str(tmp_path / "shop"))
    settings.cache_clear()
    yield
    settings.cache_clear()


def java_of(folder: Path, version: str) -> Path:
    """A JAVA_HOME that says it is this version."""
    java = folder / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2024-01-01' >&2\n")
    java.chmod(0o755)
    return folder


def only_tools(folder: Path) -> str:
    """A PATH with every program of this machine but Java."""
    folder.mkdir()
    for path in [program for part in os.defpath.split(":") for program in Path(part).iterdir()]:
        if path.name != "java" and not (folder / path.name).exists():
            (folder / path.name).symlink_to(path)
    return str(folder)


@pytest.mark.parametrize("home", [None, "", "/nowhere/java"])
def test_spark_runs_where_there_is_no_java(tmp_path: Path, home: str | None) -> None:
    environment = {**os.environ, "PATH": only_tools(tmp_path / "bin"), "JAVA_HOME": home or ""}
    if home is None:
        del environment["JAVA_HOME"]
        command = ["-c", _SHUFFLE]
    else:  # the choice alone: a session costs as much as all the others together
        command = [
            "-c",
            "from ecclip.catalog.spark.java import use_java, describe_java; print(describe_java(use_java()))",
        ]
    done = subprocess.run([sys.executable, *command], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    if home is None:
        sums = [sum(range(key, 100, 7)) for key in range(7)]
        assert f"FOUND {sums} 10 {tmp_path / 'shop' / 'work' / 'run' / 'java'}" in done.stdout
    else:
        assert 'JAVA_VERSION="25' in done.stdout


def test_java_home_goes_before_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, other = java_of(tmp_path / "home", "21.0.1"), java_of(tmp_path / "other", "17.0.2")
    monkeypatch.setenv("JAVA_HOME", str(home))
    monkeypatch.setenv("PATH", f"{other / 'bin'}:{os.environ['PATH']}")
    assert use_java() == home / "bin" / "java"
    assert os.environ["JAVA_HOME"] == str(home)


@pytest.mark.parametrize("version", ["1.8.0_392", "11.0.2", "16"])
def test_an_old_java_home_gives_way_to_a_newer_one_of_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    old, new = java_of(tmp_path / "old", version), java_of(tmp_path / "new", "17")
    monkeypatch.setenv("JAVA_HOME", str(old))
    monkeypatch.setenv("PATH", f"{new / 'bin'}:{os.environ['PATH']}")
    assert use_java() == new / "bin" / "java"
    assert "JAVA_HOME" not in os.environ, "Spark would believe it"


@pytest.mark.parametrize("program", ["#!/bin/sh\nexit 3\n", "not a program", "#!/nowhere/sh\n"])
def test_a_java_that_does_not_answer_gives_way_to_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    broken = java_of(tmp_path / "broken", "21")
    (broken / "bin" / "java").write_text(program)
    monkeypatch.setenv("JAVA_HOME", str(broken))
    monkeypatch.setenv("PATH", f"{broken / 'bin'}:{only_tools(tmp_path / 'tools')}")
    chosen = use_java()
    assert 'JAVA_VERSION="25' in describe_java(chosen)
    assert os.environ["JAVA_HOME"] == str(chosen.parents[1])
    assert use_java() == chosen, "a child finds the same"


def test_the_package_starts_without_the_module_that_it_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", only_tools(tmp_path / "tools"))
    command = [use_java(), "--add-modules=jdk.incubator.vector", "-Da=b c", "-version"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
