"""How threads wait is said before torch is imported: afterwards nothing reads it."""

from __future__ import annotations

import subprocess
import sys

import pytest

WATCH = """
import importlib, os, sys
class Watch:
    def find_spec(self, name, *more):
        if name == "torch":
            print(os.environ.get("OMP_WAIT_POLICY"), flush=True)
            os._exit(0)
os.environ.pop("OMP_WAIT_POLICY", None)
sys.meta_path.insert(0, Watch())
importlib.import_module(sys.argv[1])
"""


@pytest.mark.parametrize(
    "module", ["ecclip.model", "ecclip.train", "ecclip.train.run.stage", "ecclip.embed.stage", "ecclip.bench.train"]
)
def test_threads_sleep_while_they_wait(module: str) -> None:
    done = subprocess.run([sys.executable, "-c", WATCH, module], capture_output=True, text=True)
    assert done.stdout.split() == ["PASSIVE"], done.stderr
