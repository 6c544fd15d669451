"""What had another name says its new one, and the table of names is true."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from ecclip import pipeline
from ecclip.cli import app
from ecclip.core import RENAMED_SETTINGS, ConfigError, Settings, parameters_of, settings, source_files
from ecclip.renames import COMMANDS, METRICS, MODULES, PARAMETERS, VALUES, renames_page

ROOT = Path(__file__).parents[2]


def _parameters(section: str) -> set[str]:
    stage = next(name for name in [*pipeline.STEPS, *pipeline.OTHER_SECTIONS] if pipeline.section_of(name) == section)
    return {f"{section}.{one.name}" for one in parameters_of(pipeline.stage_model(stage))}


def test_the_page_is_what_the_code_has() -> None:
    assert (ROOT / "docs" / "renames.md").read_text() == renames_page()


@pytest.mark.parametrize("old", list(PARAMETERS))
def test_an_old_parameter_is_an_error_that_says_the_new_one(tmp_path: Path, old: str) -> None:
    section, *parts = old.split(".")
    given: Any = 1
    for part in reversed(parts):
        given = {part: given}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({section: given}))
    stage = next(name for name in [*pipeline.STEPS, *pipeline.OTHER_SECTIONS] if pipeline.section_of(name) == section)
    with pytest.raises(ConfigError, match=f"{old} is {PARAMETERS[old]} now"):
        pipeline.stage_config(stage, tmp_path / "params.yaml")


@pytest.mark.parametrize(("old", "new"), list(RENAMED_SETTINGS.items()))
def test_an_old_setting_is_an_error_that_says_the_new_one(monkeypatch: pytest.MonkeyPatch, old: str, new: str) -> None:
    assert new.removeprefix("ECCLIP_").lower() in Settings.model_fields
    monkeypatch.setenv(old, "production")
    with pytest.raises(ConfigError, match=new):
        settings()


@pytest.mark.parametrize(("old", "new"), list(PARAMETERS.items()))
def test_a_parameter_has_its_new_name_and_not_the_old_one(old: str, new: str) -> None:
    known = _parameters(new.split(".")[0])
    assert any(name == new or name.startswith(f"{new}.") for name in known)
    assert not any(name == old or name.startswith(f"{old}.") for name in known)


def test_a_parameter_of_a_renamed_section_is_told_by_its_whole_name(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("train: {trainer: {order: {batch_size: 4}, epoch: 1}}\n")
    with pytest.raises(ConfigError, match=r"order\.batch_size is train\.trainer\.sampler\.batch_size now.*epochs"):
        pipeline.stage_config("train", tmp_path / "params.yaml")


@pytest.mark.parametrize(("old", "new"), list(VALUES.items()))
def test_an_old_value_is_an_error_that_says_the_new_one(tmp_path: Path, old: str, new: str) -> None:
    (section, name), value = old.split(": ")[0].split("."), old.split(": ")[1]
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({section: {name: value}}))
    with pytest.raises(ConfigError, match=f"'{new.split(': ')[1]}'"):
        pipeline.stage_config(section, tmp_path / "params.yaml")
    (tmp_path / "params.yaml").write_text(f"{new.replace(f'{section}.', f'{section}: {{')}}}\n")
    pipeline.stage_config(section, tmp_path / "params.yaml")


@pytest.mark.parametrize(("old", "new"), list(COMMANDS.items()))
def test_an_old_command_is_an_error_that_says_the_new_one(old: str, new: str) -> None:
    called = CliRunner().invoke(app, [*old.split(), "--night", "2026-11-01"])
    assert isinstance(called.exception, ConfigError)
    assert called.exception.next_step == f"ecclip {new}"
    assert CliRunner().invoke(app, [*new.split(), "--help"]).exit_code == 0
    assert old.split()[-1] not in CliRunner().invoke(app, [*old.split()[:-1], "--help"]).output.split()


@pytest.mark.parametrize(("old", "new"), list(METRICS.items()))
def test_a_metric_of_a_stage_has_its_new_name_in_the_code_of_the_stage(old: str, new: str) -> None:
    stage, name = new.split(": ")
    code = "".join(path.read_text() for path in source_files(pipeline.STEPS[stage].function.split(":")[0]))
    assert f'"{name}"' in code
    assert old.split(": ")[1] not in code


@pytest.mark.parametrize(("old", "new"), list(MODULES.items()))
def test_what_is_imported_has_its_new_place_and_not_the_old_one(old: str, new: str) -> None:
    found = _imported(new)
    assert found is not None
    assert _imported(old) is not found


def _imported(name: str) -> Any:
    """Return a module, or what a module has, by its dotted name; None: there is no such thing."""
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:count]))
        except ImportError:
            continue
        for attribute in parts[count:]:
            found = getattr(found, attribute, None)
        return found
    return None
