"""A stage runs again when code or data that it reaches has changed, by whatever way it reaches it, and only then."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
import yaml
from dumps import market, write_dump
from snapshots import write_snapshot

import ecclip
from ecclip.core import ConfigError, fingerprint

NIGHT = "2026-11-01"
OTHERS = {"thing.py": "THING = 1\n", "other.py": "OTHER = 2\n"}

# what a package holds beside a module `asks.py`, which files decide what that does, and which do not
WAYS: dict[str, tuple[dict[str, str], set[str], set[str]]] = {
    "whole": ({"asks.py": "import ecclip.{way}.thing as t", **OTHERS}, {"thing.py"}, {"other.py"}),
    "from_a_package": ({"asks.py": "from ecclip.{way} import thing", **OTHERS}, {"thing.py"}, {"other.py"}),
    "star": ({"asks.py": "from ecclip.{way}.thing import *", **OTHERS}, {"thing.py"}, {"other.py"}),
    "relative": (
        {"asks.py": "from . import thing\nfrom .other import OTHER", **OTHERS},
        {"thing.py", "other.py"},
        set(),
    ),
    "inside_a_function": (
        {"asks.py": "def ask():\n    from ecclip.{way}.thing import THING", **OTHERS},
        {"thing.py"},
        {"other.py"},
    ),
    "through_a_door": (
        {
            "__init__.py": "from ecclip.{way}.thing import THING as NAME\nfrom ecclip.{way}.other import OTHER",
            "asks.py": "from ecclip.{way} import NAME",
            **OTHERS,
        },
        {"thing.py", "__init__.py"},
        {"other.py"},
    ),
    "through_a_door_that_loads_late": (
        {
            "__init__.py": "def __getattr__(name):\n    from ecclip.{way}.thing import THING\n    return THING",
            "asks.py": "from ecclip.{way} import THING",
            **OTHERS,
        },
        {"thing.py"},
        {"other.py"},
    ),
    "through_a_table_of_names": (
        {
            "__init__.py": "_LATE = {{'NAME': 'ecclip.{way}.thing:THING'}}\n\ndef __getattr__(name): ...",
            "asks.py": "from ecclip.{way} import NAME",
            **OTHERS,
        },
        {"thing.py"},
        {"other.py"},
    ),
    "of_a_name_that_is_module_and_function": (
        {
            "__init__.py": "from ecclip.{way}.other import OTHER as thing",
            "asks.py": "from ecclip.{way} import thing",
            **OTHERS,
        },
        {"thing.py", "other.py"},
        set(),
    ),
    "by_a_computed_name": (
        {
            "asks.py": "import importlib\nread = lambda kind: importlib.import_module(f'ecclip.{way}.th{{kind}}')",
            **OTHERS,
        },
        {"thing.py"},
        {"other.py"},
    ),
    "spawned": (
        {"asks.py": "COMMAND = ['python', '-m', 'ecclip.{way}.thing', '1']", **OTHERS},
        {"thing.py"},
        {"other.py"},
    ),
    "spawned_package": (
        {
            "asks.py": "COMMAND = ('python', '-m', 'ecclip.{way}')",
            "__main__.py": "from ecclip.{way} import thing",
            **OTHERS,
        },
        {"__main__.py", "thing.py"},
        {"other.py"},
    ),
    "spawned_file": (
        {"asks.py": "from pathlib import Path\nSCRIPT = Path(__file__).with_name('thing.py')", **OTHERS},
        {"thing.py"},
        {"other.py"},
    ),
    "data_by_its_name": (
        {
            "asks.py": "from pathlib import Path\nTABLE = Path(__file__).with_name('table.csv')",
            "table.csv": "1",
            **OTHERS,
        },
        {"table.csv"},
        {"thing.py"},
    ),
    "data_by_a_computed_name": (
        {
            "asks.py": "from importlib import resources\nread = lambda name: resources.files(__package__) / name",
            "tables/deep/one.yaml": "1",
            "inner/__init__.py": "",
            "inner/two.yaml": "2",
        },
        {"tables/deep/one.yaml"},
        {"inner/__init__.py", "inner/two.yaml"},
    ),
    "data_of_the_checkout": (
        {
            "asks.py": "import ecclip\nfrom pathlib import Path\nT = Path(ecclip.__file__).parents[1] / 'templates'",
            "../../templates/one/model.py": "1",
        },
        {"../../templates/one/model.py"},
        set(),
    ),
    "not_for_types_alone": (
        {
            "asks.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from ecclip.{way}.thing import THING\n"
            "else:\n    from ecclip.{way}.other import OTHER",
            **OTHERS,
        },
        {"other.py"},
        {"thing.py"},
    ),
    "not_in_a_docstring": ({"asks.py": "'''ecclip.{way}.thing'''\n", **OTHERS}, set(), {"thing.py", "other.py"}),
    "not_data_of_others": ({"asks.py": "WORD = 'table.csv'", "table.csv": "1"}, set(), {"table.csv"}),
}

LIST = """
import json, sys
from ecclip.core import source_files
print(json.dumps({way: [str(path) for path in source_files(f"ecclip.{way}.asks")] for way in sys.argv[1:]}))
"""
RUN = """
import json, sys
from pathlib import Path
from ecclip.nights import work_path
from ecclip.pipeline import STEPS, run_stage
def run(name):
    if name in STEPS:
        return run_stage(name, sys.argv[1])
    from ecclip.probe.stage import ProbeConfig, probe
    return probe(cfg=ProbeConfig(), output=work_path("probe", sys.argv[1]))
print(json.dumps({name: run(name).outcome for name in sys.argv[2:]}))
"""
PROBE = """
import subprocess, sys
from pathlib import Path
from ecclip.core import Counts, StageConfig, stage
class ProbeConfig(StageConfig): ...
@stage
def probe(cfg: ProbeConfig, output: Path) -> Counts:
    subprocess.run([sys.executable, "-m", "ecclip.probe.worker", str(output / "made")], check=True)
    return Counts()
"""


class House:
    """A copy of the package that may be edited, and a workspace; every run is a process of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        source = Path(ecclip.__file__).parent
        shutil.copytree(source, root / "ecclip", ignore=shutil.ignore_patterns("__pycache__"))
        self.environment = {**os.environ, "PYTHONPATH": str(root), "ECCLIP_WORKSPACE": str(root / "workspace")}

    def write(self, name: str, text: str) -> Path:
        path = self.root / "ecclip" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def edit(self, name: str) -> None:
        with (self.root / "ecclip" / name).open("r+") as file:  # a file that is not there is not made
            file.seek(0, os.SEEK_END)
            file.write("\n# a remark\n")

    def python(self, code: str, *arguments: str) -> dict[str, Any]:
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            env=self.environment,
            cwd=self.root,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    def run(self, *stages: str) -> dict[str, Any]:
        return self.python(RUN, NIGHT, *stages)


@pytest.fixture(scope="module")
def reached(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """The files that decide what `asks.py` does, for every way of reaching another file."""
    house = House(tmp_path_factory.mktemp("ways"))
    for way, (files, _, _) in WAYS.items():
        for name, text in {"__init__.py": "", **files}.items():
            house.write(f"{way}/{name}", text.format(way=way))
    found = house.python(LIST, *WAYS)
    return {way: {os.path.relpath(path, house.root / "ecclip") for path in found[way]} for way in WAYS}


@pytest.mark.parametrize("way", WAYS)
def test_a_file_counts_by_the_way_in_which_it_is_reached(reached: dict[str, set[str]], way: str) -> None:
    _, counted, others = WAYS[way]

    def names(files: set[str]) -> set[str]:
        return {os.path.normpath(f"{way}/{name}") for name in files}

    assert reached[way] >= names({*counted, "asks.py"}) | {"__init__.py"}
    assert reached[way] & names(others) == set()


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What stages said when they were run after each edit, one edit after the other."""
    house = House(tmp_path_factory.mktemp("house"))
    house.write("probe/__init__.py", "")
    house.write("probe/stage.py", textwrap.dedent(PROBE))
    house.write("probe/worker.py", "import sys\nopen(sys.argv[1], 'w').close()\n")
    workspace = house.root / "workspace"
    write_dump(workspace / "work" / "dumps" / NIGHT, *market(3))
    write_snapshot(workspace / "work" / "snapshots" / NIGHT, 4)
    (workspace / "params.yaml").write_text(yaml.safe_dump({"start": {"mode": "pretrained"}}))
    found = {"first": house.run("extract", "land", "start", "probe")}
    for name in ("catalog/group/edges.py", "train/engine/trainer.py", "tasks/report/templates/report.html.j2"):
        house.edit(name)
    found["elsewhere"] = house.run("extract", "land", "start", "probe")
    house.edit("catalog/land/host_budgets.py")
    found["imported"] = house.run("extract", "land", "start")
    house.edit("catalog/mapping/with_spark.py")
    found["imported late"] = house.run("extract", "start")
    house.edit("catalog/mapping/shipped/shopify.yaml")
    found["data"] = house.run("extract", "start")
    house.edit("probe/worker.py")
    found["spawned"] = house.run("probe", "start")
    return found


def test_a_file_that_no_stage_reaches_leaves_them_unchanged(outcomes: dict[str, dict[str, Any]]) -> None:
    assert set(outcomes["first"].values()) == {"written"}
    assert outcomes["elsewhere"] == dict.fromkeys(("extract", "land", "start", "probe"), "unchanged")


@pytest.mark.parametrize(
    ("edited", "stage"), [("imported", "land"), ("imported late", "extract"), ("data", "extract"), ("spawned", "probe")]
)
def test_a_file_that_a_stage_reaches_runs_it_again_and_no_other(
    outcomes: dict[str, dict[str, Any]], edited: str, stage: str
) -> None:
    assert {name for name, outcome in outcomes[edited].items() if outcome == "written"} == {stage}


def test_a_function_stands_for_the_module_that_defines_it() -> None:
    assert fingerprint(write_dump) == fingerprint(str(Path(write_dump.__code__.co_filename)))
    with pytest.raises(ConfigError, match="must come from a file"):
        fingerprint(eval("lambda: None"))


_UPGRADED = """
import os, sys
from pathlib import Path
from ecclip.core import ConfigError, remember_code, require_same_code
import ecclip
remember_code()
require_same_code()
path = Path(ecclip.__file__).with_name("nights.py")
text = path.read_text()
path.write_text(text + "# of the next version\\n")
if os.fork() == 0:
    try:
        require_same_code()
    except ConfigError as refused:
        print(refused, flush=True)
    os._exit(0)
os.wait()
path.write_text(text)
require_same_code()
"""


@pytest.mark.fault(51)
@pytest.mark.ops
def test_a_task_that_is_forked_after_an_upgrade_is_refused(tmp_path: Path) -> None:
    shutil.copytree(Path(ecclip.__file__).parent, tmp_path / "ecclip", ignore=shutil.ignore_patterns("__pycache__"))
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-c", _UPGRADED]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "has changed since Airflow was started" in done.stdout
    assert str(tmp_path / "ecclip" / "nights.py") in done.stdout
    assert "make down && make up" in done.stdout
