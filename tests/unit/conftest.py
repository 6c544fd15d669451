"""A workspace with an empty registry for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from registries import make_workspace

from ecclip.core import settings


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    yield make_workspace(tmp_path / "workspace", monkeypatch)
    monkeypatch.undo()
    settings.cache_clear()
