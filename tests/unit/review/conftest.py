"""A night to review, and a desk at which nobody has corrected anything yet."""

from __future__ import annotations

from pathlib import Path

import pytest
from reviewed_nights import NIGHT, make_reviewed_night
from shared import made_once

from ecclip.review.desk import Desk


@pytest.fixture(scope="session")
def reviewed() -> Path:
    """The work folder of one evaluated night; to be read only."""
    return made_once("reviewed_night", make_reviewed_night)


@pytest.fixture(scope="session")
def wrong(reviewed: Path) -> str:
    """The mug that its seller calls a lamp."""
    return (reviewed / "wrong").read_text()


@pytest.fixture
def desk(reviewed: Path, tmp_path: Path) -> Desk:
    night = reviewed / "nights" / NIGHT
    parts = (reviewed / "snapshots" / NIGHT, night / "embed", night / "evaluate")
    return Desk.of_night(NIGHT, *parts, folder=tmp_path / "corrections", author="ann")
