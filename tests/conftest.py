"""Before any test: the shared helpers of tests/support on the import path, and no clock but pytest-timeout's."""

from __future__ import annotations

import gc
import os
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings as hypothesis_settings

sys.path.insert(0, str(Path(__file__).parent / "support"))
# a busy machine is no fault: limits of waiting are for what hangs; the children of the tests inherit this
os.environ.setdefault("ECCLIP_PATIENCE", "20")
os.environ.setdefault("ECCLIP_SERVING_INSTANCES", "1")  # a process less for every server; load is put on two
os.environ.setdefault("ECCLIP_TRACKING_NICENESS", "0")  # beside busy neighbours a nice process gets nothing at all
# a worker of pytest-xdist has no main file, by which pyspark takes it for a doctest and ends it
if not hasattr(sys.modules["__main__"], "__file__"):
    sys.modules["__main__"].__file__ = str(Path(pytest.__file__).with_name("__main__.py"))
hypothesis_settings.register_profile("any machine", deadline=None, derandomize=True, database=None)
hypothesis_settings.load_profile("any machine")
# what a process of tests starts once, and a sign of the files that use it
_STARTED_ONCE = {
    "spark": r"pytest\.mark\.spark",
    "processes that have imported torch": r"\b(run|start)_child",
    "processes that have imported MLflow": r"children: Children",
}
gc.disable()  # modules and tests are made to stay: looking for garbage among them costs a sixth of the collection


@pytest.fixture(autouse=True, scope="session")
def shared_root(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Give what all processes of this test run share its folder."""
    from shared import use_root_of

    use_root_of(tmp_path_factory, os.environ.get("PYTEST_XDIST_WORKER"))


@pytest.fixture(autouse=True, scope="module")
def settings_of_this_module() -> None:
    """Have what a module shares read its settings anew: the end of the module before may have read its own again."""
    from ecclip.core import settings

    settings.cache_clear()


@pytest.fixture(autouse=True)
def settings_of_this_test() -> Iterator[None]:
    """Have each test read its settings from the environment as it finds it, whoever ran before."""
    from ecclip.core import settings

    settings.cache_clear()
    yield
    settings.cache_clear()


@pytest.fixture(scope="session")
def market_nights() -> Path:
    """Two nights of a small market from land on, for every process of this test run; to be read only."""
    from market_nights import run_nights
    from shared import made_once

    return made_once("market_nights", run_nights)


@pytest.fixture(scope="session")
def shop() -> Any:
    """A sample shop of three published nights, likewise."""
    from sample_nights import Shop, run_nights
    from shared import made_once

    return Shop(made_once("sample_nights", run_nights))


@pytest.hookimpl(trylast=True)  # after pytest-randomly, whose order stays within the heavy ones and within the others
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the modules that take long first: several processes then end together."""
    items.sort(key=lambda item: item.get_closest_marker("heavy") is None)


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Collect garbage again, but look no more at what was imported and collected until now."""
    gc.freeze()
    gc.enable()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give the files to one process that start the same: a JVM's first night costs thrice what others cost."""
    from xdist.scheduler import LoadFileScheduling

    class FilesByWhatTheyStart(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            started = _started_by(config.rootpath / file)
            # one process would be busy with all of Spark's files longer than the others with the rest
            return f"spark of {Path(*Path(file).parts[:2])}" if started == "spark" else started or file

    return FilesByWhatTheyStart(config, log) if config.option.dist == "loadfile" else None


@cache
def _started_by(file: Path) -> str | None:
    text = file.read_text()
    return next((name for name, sign in _STARTED_ONCE.items() if re.search(sign, text)), None)
