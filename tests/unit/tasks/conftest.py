"""A small snapshot and embeddings that know a little of it: no towers are run in this room's tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from known_embeddings import write_embeddings
from snapshots import change_listings, write_snapshot


@pytest.fixture(scope="session")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_snapshot(tmp_path_factory.mktemp("snapshot") / "2026-01-01", listings=600)


@pytest.fixture(scope="session")
def embedded(snapshot: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_embeddings(snapshot, tmp_path_factory.mktemp("embedded"))


@pytest.fixture
def make_snapshot(tmp_path: Path) -> Callable[..., Path]:
    """Return a maker of a snapshot and of its embeddings (folder ``embedded`` beside), both named by their ``night``.

    ``change`` works on every row before the embeddings are made from them, ``relabel`` after.
    """

    def make(
        listings: int,
        change: Callable[[dict[str, Any]], None] | None = None,
        relabel: Callable[[dict[str, Any]], None] | None = None,
        night: str = "",
        seed: int = 0,
    ) -> Path:
        folder = write_snapshot(tmp_path / f"snapshot{night}", listings=listings)
        if change is not None:
            change_listings(folder, change)
        write_embeddings(folder, tmp_path / f"embedded{night}", seed=seed)
        if relabel is not None:
            change_listings(folder, relabel)
        return folder

    return make
