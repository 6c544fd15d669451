"""The nights of a workspace: a list that was damaged is named with the commands that make it anew."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ecclip import nights
from ecclip.cli import app
from ecclip.core import ConfigError, Counts, IntegrityError, StageConfig, settings, stage

FIRST, SECOND, LATE, THIRD = "2026-11-01", "2026-11-02", "2026-10-31", "2026-11-03"
KNOWN = [
    {"night": LATE, "previous": "none"},  # run after the others
    {"night": FIRST, "previous": "none"},
    {"night": SECOND, "previous": FIRST},
]


class Config(StageConfig):
    """Which night a snapshot is of."""

    night: str


@stage
def publish(cfg: Config, previous: Path, output: Path) -> Counts:
    """Write a snapshot as far as the nights are concerned."""
    (output / "listings").write_text(cfg.night)
    return Counts()


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Yield a workspace with three published nights, one of which came late."""
    monkeypatch.setenv("ECCLIP_WORKSPACE", str(tmp_path))
    settings.cache_clear()
    for night in (FIRST, SECOND, LATE):
        nights.add_night(night)
        previous = nights.work_path("snapshots/{previous}", night)
        publish(Config(night=night), previous=previous, output=nights.work_path("snapshots/{night}", night))
    assert nights.known_nights() == KNOWN
    yield tmp_path
    settings.cache_clear()


def type_it(command: str) -> None:
    """Do what a message says, as a shell would."""
    for one in command.split(" && "):
        program, *words = shlex.split(one)
        if program == "rm":
            Path(*words).unlink()
        else:
            assert program == "ecclip"
            CliRunner().invoke(app, words, catch_exceptions=False)


@pytest.mark.fault(51)
@pytest.mark.ops
def test_a_list_cut_anywhere_is_refused_or_misses_a_night_that_is_then_asked_for(workspace: Path) -> None:
    path = workspace / "work" / "nights.yaml"
    whole = path.read_bytes()
    for end in range(len(whole)):
        path.write_bytes(whole[:end])
        try:
            for entry in KNOWN:
                nights.work_path("snapshots/{previous}", entry["night"])
        except (ConfigError, IntegrityError) as refused:
            type_it(refused.next_step)
            known = {entry["night"]: entry for entry in nights.known_nights()}
            assert known.items() <= {entry["night"]: entry for entry in KNOWN}.items(), end
        else:
            raise AssertionError(f"cut at {end}: a night that has run was taken for a first one")


@pytest.mark.fault(51)
@pytest.mark.ops
@pytest.mark.parametrize(
    "content", ["nights: {2026-11-01: none}\n", "nights: []\n", "nights:\n  x: {previous: none}\n"]
)
def test_what_a_person_wrote_into_the_list_is_named_and_the_commands_make_it_anew(
    workspace: Path, content: str
) -> None:
    (workspace / "work" / "nights.yaml").write_text(content)
    with pytest.raises(
        ConfigError, match=r"nights\.yaml.*ecclip nights add 2026-10-31 2026-11-01 2026-11-02"
    ) as refused:
        nights.known_nights()
    type_it(refused.value.next_step)
    assert nights.known_nights() == KNOWN


def test_dates_without_quotes_are_nights(workspace: Path) -> None:
    text = f"nights:\n  {FIRST}: {{previous: none}}\n  {SECOND}: {{previous: {FIRST}}}\n"
    (workspace / "work" / "nights.yaml").write_text(text)
    assert nights.known_nights() == KNOWN[1:]


def test_a_new_night_follows_the_newest_published_one(workspace: Path) -> None:
    nights.add_night(THIRD)
    assert nights.previous_of(THIRD) == SECOND
