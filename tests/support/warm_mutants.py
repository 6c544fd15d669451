"""A pytest plugin of `make mutants`: what costs seconds is made once, before the processes of the changes are forked.

``MUTANTS_WARM`` names modules to import and functions to call (``module:function`` or ``module:function=3``, with that
number) that remember what they return.
"""

from __future__ import annotations

import gc
import json
import os
import pkgutil
import warnings
from pathlib import Path

import pytest
from mutmut.state import state

SECONDS = Path("mutmut-stats.json")  # what each test took; mutmut writes it before the first change


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the shortest tests first: most changes are noticed before the long ones begin."""
    seconds = json.loads(SECONDS.read_text())["duration_by_test"] if SECONDS.is_file() else {}
    items.sort(key=lambda item: seconds.get(item.nodeid, 0.0))


def pytest_collection_finish() -> None:
    """Make what the room's tests share; a forked process finds it made."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # each test says what it lets pass; the import here is nobody's
        for name in os.environ.get("MUTANTS_WARM", "").split():
            path, _, number = name.partition("=")
            found = pkgutil.resolve_name(path)
            if ":" in path:
                found(*map(int, filter(None, [number])))
    state()._stats.clear()  # no test has called these functions
    gc.freeze()  # pytest collects garbage several times at its end: in a forked process that would copy all of this
