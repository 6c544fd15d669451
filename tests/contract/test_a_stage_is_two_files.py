"""A new stage is its own file and an entry in pipeline.py: DVC, the DAG, the commands and the runner follow."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
NIGHT = "2026-11-01"
STAGE = '''"""Tally: how many files a night's cleaned listings are."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from ecclip.core import Counts, StageConfig, stage, write_atomic


class TallyConfig(StageConfig):
    """Parameters of tallying."""

    unit: int = Field(1, ge=1, description="files that count as one")


@stage
def tally(cfg: TallyConfig, cleaned: Path, output: Path) -> Counts:
    """Write the number of files."""
    files = len([path for path in cleaned.rglob("*") if path.is_file()]) // cfg.unit
    write_atomic(output / "tally.txt", f"{files}")
    return Counts(read={"files": files})
'''
ENTRY = """    "tally": Step(
        "ecclip.catalog.clean.tally:tally", {"cleaned": "nights/{night}/clean"}, "nights/{night}/tally", _CATALOG
    ),
"""
_EDGES = """
import json
from nightly_catalog import nightly_catalog
dag = nightly_catalog()
print("EDGES" + json.dumps(sorted((a, b) for a in dag.task_ids for b in dag.get_task(a).downstream_task_ids)))
"""
# what `ecclip parameters` prints, without the seconds that importing all other stages takes
_ROWS = """
from ecclip import parameters
parameters.STEPS, parameters.OTHER_SECTIONS = {"tally": parameters.STEPS["tally"]}, {}
print(parameters.page())
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the code with a stage between clean and group, which reads what the new stage wrote too."""
    folder = tmp_path_factory.mktemp("project")
    for name in ("ecclip", "dags"):
        # compiled modules too, which need not be made again, but none that another process is writing now
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("*.pyc.*"))
    (folder / "ecclip/catalog/clean/tally.py").write_text(STAGE)
    pipeline = folder / "ecclip/pipeline.py"
    before, group = pipeline.read_text().split('    "group": Step(', maxsplit=1)
    group = group.replace('{"cleaned": ', '{"tallied": "nights/{night}/tally", "cleaned": ', 1)
    pipeline.write_text(f'{before}{ENTRY}    "group": Step({group}')
    (folder / "params.yaml").write_text("tally: {unit: 2}\n")
    cleaned = folder / "work/nights" / NIGHT / "clean"
    cleaned.mkdir(parents=True)
    for number in range(6):
        (cleaned / f"part-{number}").write_text("rows")
    return folder


def call(project: Path, *arguments: str) -> str:
    """Run Python there with the copied code alone, and return what it printed."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("ECCLIP_", "AIRFLOW"))}
    environment |= {
        "PYTHONPATH": f"{project}{os.pathsep}{project / 'dags'}",
        "ECCLIP_WORKSPACE": str(project),
        "AIRFLOW_HOME": str(project / "airflow"),
    }
    done = subprocess.run(
        [sys.executable, *arguments], cwd=project, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_dvc_has_the_stage_and_the_next_one_waits_for_it(project: Path) -> None:
    stages = yaml.safe_load(call(project, "-m", "ecclip", "pipeline", "dvc"))["stages"]
    tally = stages["tally"]["do"]
    assert tally["cmd"] == "ecclip run tally --night ${key}"
    assert tally["params"] == ["tally"]
    assert tally["deps"][0] == "work/nights/${key}/clean"
    assert {"ecclip/catalog/clean/tally.py", "ecclip/catalog/clean"} & set(tally["deps"])
    assert tally["outs"] == [{"work/nights/${key}/tally": {"persist": True}}]
    assert "work/nights/${key}/tally" in stages["group"]["do"]["deps"]


def test_the_dag_runs_it_between_the_two(project: Path) -> None:
    printed = call(project, "-c", _EDGES)
    line = next(line for line in printed.splitlines() if line.startswith("EDGES"))
    edges = {tuple(edge) for edge in json.loads(line.removeprefix("EDGES"))}
    assert {("clean", "tally"), ("tally", "group"), ("clean", "reference"), ("group", "publish")} <= edges
    assert ("clean", "group") not in edges


def test_the_command_runs_it_and_a_second_run_is_unchanged(project: Path) -> None:
    command = ["-m", "ecclip", "catalog", "tally", "--night", NIGHT]
    assert "written" in call(project, *command)
    written = (project / "work/nights" / NIGHT / "tally/tally.txt").read_text()
    assert written == "3", "six files in units of two, as params.yaml says"
    assert "unchanged" in call(project, *command)
    report = json.loads((project / "work/reports" / NIGHT / "tally.json").read_text())
    assert (report["stage"], report["outcome"]) == ("tally", "unchanged")


def test_its_parameter_has_a_row(project: Path) -> None:
    printed = call(project, "-c", _ROWS)
    assert "## tally\n" in printed
    assert "| `unit` | integer | `1` | ≥ 1 | files that count as one |" in printed
