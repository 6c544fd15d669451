"""What a bundle carries of ecclip follows from imports, and runs under the interpreter that serves."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from serving_server import SERVING_PYTHON

from ecclip.serving.export import ship_code
from ecclip.tasks.kinds import TASKS

ROOT = Path(__file__).parents[4]
# a task whose answer hangs on a module that no task of ours needs
_TASK = """
from ecclip.tasks.kinds.task import Task


class Sampled(Task):
    name = "sampled"
    columns = ()

    def answer(self, heads, asked, top_k):
        from ecclip.formats.sampling import smallest_hashes

        return {"OTHER_TASKS": {"sampled": smallest_hashes(["a", "b"], 1)}}


TASK = Sampled()
"""
_RUN = """
import importlib, json, runpy, sys
from pathlib import Path
code = Path(sys.argv[1])
sys.path[:0] = [str(code), *map(str, code.glob("*.zip"))]
modules = [importlib.import_module(name) for name in sys.argv[2:]]
tasks = {path.name: runpy.run_path(str(path))["TASK"] for path in sorted((code / "tasks").glob("*.py"))}
import numpy
print(json.dumps({
    "numpy": numpy.__version__,
    "strangers": [name for name, one in sys.modules.items() if name.startswith("ecclip")
                  and not one.__file__.startswith(str(code))],
    "tasks": list(tasks),
    "sampled": tasks["03_sampled.py"].answer([], None, 5),
}))
"""


def _entries() -> list[str]:
    """Return what the entry model imports of a bundle's code."""
    source = (ROOT / "triton_models" / "product" / "model.py").read_text()
    return sorted({*re.findall(r'import_module\("(ecclip[\w.]*)"\)', source)})


def test_what_a_task_needs_goes_with_it_and_runs_where_it_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not SERVING_PYTHON.exists():
        pytest.skip("the serving environment is missing: make setup")
    (tmp_path / "sampled.py").write_text(_TASK)
    spec = importlib.util.spec_from_file_location("sampled_task", tmp_path / "sampled.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    monkeypatch.setattr("ecclip.tasks.kinds.TASKS", [*TASKS, module.TASK])
    ship_code(tmp_path / "code")
    assert (tmp_path / "code" / "ecclip" / "formats" / "sampling.py").is_file()
    modules = [*_entries(), "ecclip.serving.answering.pyfunc", "ecclip.serving.answering.worker"]
    command = [str(SERVING_PYTHON), "-I", "-c", _RUN, str(tmp_path / "code"), *modules]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert found["numpy"].startswith("1.")
    assert found["strangers"] == []
    assert found["tasks"] == ["00_category.py", "01_attributes.py", "02_age_restricted.py", "03_sampled.py"]
    assert len(found["sampled"]["OTHER_TASKS"]["sampled"]) == 1
