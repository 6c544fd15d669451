"""A night has one spelling wherever it enters: folders, registry and versions are named after it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import typer
from typer.testing import CliRunner

from ecclip import nights, pipeline, release
from ecclip.cli import app
from ecclip.core import ConfigError
from ecclip.sample import SampleConfig

OTHER_SPELLINGS = ["20261101", "2026-W44-7", "2026-11-1", "../2026-11-01"]


@pytest.fixture(autouse=True)
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ECCLIP_WORKSPACE", str(tmp_path))
    return tmp_path


def _commands(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name, child in getattr(command, "commands", {}).items():
        yield from _commands(child, (*words, name))
    if not hasattr(command, "commands"):
        yield words, command


def _calls() -> list[list[str]]:
    """Every command that takes a night, with words for what else it needs."""
    calls = []
    for words, command in _commands(typer.main.get_command(app)):
        parameters = {parameter.name: parameter for parameter in command.params}
        if "night" in parameters:
            call = list(words)
            for name, parameter in parameters.items():
                option = parameter.opts[0] if parameter.param_type_name == "option" else ""
                if name == "night":
                    call += [option, "NIGHT"] if option else ["NIGHT"]
                elif parameter.required:
                    call += [option, "land"] if option else ["land"]
            calls.append(call)
    return calls


CALLS = _calls()


def test_the_commands_of_nights_were_found() -> None:
    found = {" ".join(call) for call in CALLS}
    assert {
        "run land --night NIGHT",
        "nights add NIGHT",
        "nights restore NIGHT",
        "release gate --night NIGHT",
    } <= found


@pytest.mark.parametrize("night", OTHER_SPELLINGS)
@pytest.mark.parametrize("call", CALLS, ids=" ".join)
def test_no_command_takes_another_spelling(call: list[str], night: str, workspace: Path) -> None:
    result = CliRunner().invoke(app, [night if word == "NIGHT" else word for word in call])
    assert isinstance(result.exception, ConfigError), result.output
    assert "YYYY-MM-DD" in str(result.exception)
    assert list(workspace.iterdir()) == []


@pytest.mark.parametrize("night", OTHER_SPELLINGS)
def test_no_function_that_takes_a_night_takes_another_spelling(night: str, workspace: Path) -> None:
    calls = [
        lambda: pipeline.run_stage("land", night),
        lambda: nights.add_night(night),
        lambda: release.register_night(night),
        lambda: release.gate_night(night),
        lambda: release.bless_night(night),
        lambda: release.promote_night(night),
        lambda: SampleConfig(first_night=night),
    ]
    for call in calls:
        with pytest.raises(ConfigError, match="ISO date"):
            call()
    assert not list(workspace.glob(f"work/**/{night.rsplit('/')[-1]}*"))


def test_a_folder_that_is_named_like_a_night_and_more_is_no_previous_night(workspace: Path) -> None:
    for name in ("2026-11-01", "2026-11-01-set-aside", "20261101", "2026-11-03"):
        (workspace / "work" / "snapshots" / name).mkdir(parents=True)
        (workspace / "work" / "snapshots" / name / "manifest.json").touch()
    nights.add_night("2026-11-02")
    assert nights.previous_of("2026-11-02") == "2026-11-01"
