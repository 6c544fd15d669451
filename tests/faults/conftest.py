"""A workspace with an empty registry, and processes that can be killed in the middle of a call to it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from registries import Children, make_workspace

from ecclip.core import settings


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    yield make_workspace(tmp_path / "workspace", monkeypatch)
    monkeypatch.undo()
    settings.cache_clear()


@pytest.fixture(scope="session")
def children() -> Iterator[Children]:
    """Forks from one process that has imported what they need, for every file of this process."""
    with Children() as started:
        yield started
