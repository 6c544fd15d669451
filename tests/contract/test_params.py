"""params.yaml is what the stages read."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import yaml

from ecclip import pipeline
from ecclip.core import ConfigError

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("stage", list(pipeline.STEPS))
def test_the_shipped_parameters_fit_the_stage_that_reads_them(stage: str) -> None:
    pipeline.stage_config(stage, ROOT / "params.yaml")


def test_a_section_that_no_stage_reads_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("trian: {}\n")
    with pytest.raises(ConfigError, match="trian"):
        pipeline.stage_config("land", tmp_path / "params.yaml")


def test_a_wrong_value_names_section_field_and_file(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("land: {no_such_field: 1}\n")
    with pytest.raises(ConfigError, match=r"(?s)section land.*no_such_field.*params\.yaml"):
        pipeline.stage_config("land", tmp_path / "params.yaml")


@pytest.mark.parametrize("stage", list(pipeline.STEPS))
def test_every_input_of_a_stage_is_a_parameter_of_its_function(stage: str) -> None:
    import inspect

    step = pipeline.STEPS[stage]
    names = list(inspect.signature(pipeline._function(step)).parameters)
    assert names == ["cfg", *step.inputs, "output"]


def test_the_parameters_of_training_are_spelt_out_with_their_defaults() -> None:
    """DVC sets only what it finds: ``dvc exp run -S train.trainer.order.batch_size=32``."""
    spelt = yaml.safe_load((ROOT / "params.yaml").read_text())["train"]
    defaults = pipeline.stage_model("train")()
    assert pipeline.stage_config("train", ROOT / "params.yaml") == defaults
    assert set(spelt) == set(type(defaults).model_fields)
    assert spelt["trainer"] == dataclasses.asdict(defaults.trainer)
