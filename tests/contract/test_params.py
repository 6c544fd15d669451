"""params.yaml is what the stages read."""

from __future__ import annotations

import dataclasses
import json
import re
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from ecclip import pipeline
from ecclip.core import ConfigError, parameters_of

ROOT = Path(__file__).parents[2]
# a paper, a measurement, another tool's default, or honestly judgment
SOURCE = re.compile(r"judgment|chosen on|the default of|twice the default|\d{4}\)|results/|as in top-5")
RANDOM = ("seed",)  # any number does
# what its parameters leave out, so that it is short
FOR_THE_DEMO: dict[str, Any] = {"photo_scales": (), "epochs": 2, "patience": None}


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


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        ({"trainer": {"epoch": 1}}, "train.trainer.epoch: did you mean epochs?"),
        ({"trainer": {"sampler": {"batchsize": 1}}}, "train.trainer.sampler.batchsize: did you mean batch_size?"),
        ({"towers": {"preset": "small", "image_sise": 1}}, "train.towers.image_sise: did you mean image_size?"),
        ({"fine_tune": {"epoch": 2}}, "train.fine_tune.epoch: did you mean epochs?"),
    ],
)
def test_an_unknown_name_at_any_depth_gets_the_closest_one(tmp_path: Path, given: dict[str, Any], hint: str) -> None:
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({"train": given}))
    with pytest.raises(ConfigError, match=re.escape(hint)):
        pipeline.stage_config("train", tmp_path / "params.yaml")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"trainer": {"epochs": 0}}, r"trainer: epochs.*value: 0.*≥ 1"),
        ({"trainer": {"sampler": {"hard_negative_share": 1.5}}}, r"hard_negative_share.*value: 1\.5.*\[0, 1\]"),
        ({"trainer": {"loss": "hinge"}}, r"(?s)loss.*'softmax'"),
        ({"towers": {"preset": "small", "drop_path": 1.0}}, r"drop_path.*value: 1\.0.*\[0, 1\)"),
        ({"fine_tune": {"learning_rate_scale": 0}}, r"(?s)learning_rate_scale.*greater than 0"),
    ],
)
def test_a_value_out_of_its_range_is_named_with_the_range(tmp_path: Path, given: dict[str, Any], words: str) -> None:
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({"train": given}))
    with pytest.raises(ConfigError, match=words):
        pipeline.stage_config("train", tmp_path / "params.yaml")


@pytest.mark.parametrize("stage", [*pipeline.STEPS, *pipeline.OTHER_SECTIONS])
def test_every_nested_parameter_has_its_row_with_a_meaning(stage: str) -> None:
    parameters = list(parameters_of(pipeline.stage_model(stage)))
    assert [one.name for one in parameters if not one.meaning or not one.kind] == []
    assert len({one.name for one in parameters}) == len(parameters)
    section = (ROOT / "docs" / "parameters.md").read_text().split(f"\n## {pipeline.section_of(stage)}\n")
    rows = section[1].split("\n## ")[0] if parameters else ""
    assert [one.name for one in parameters if f"| `{one.name}` |" not in rows] == []


@pytest.mark.parametrize("stage", list(pipeline.STEPS))
def test_every_input_of_a_stage_is_a_parameter_of_its_function(stage: str) -> None:
    import inspect

    step = pipeline.STEPS[stage]
    parameters = inspect.signature(pipeline._function(step)).parameters
    spared = [name for name, one in parameters.items() if one.default is None]  # by who calls the function itself
    assert [name for name in parameters if name not in spared] == [
        "cfg", *(name for name in step.inputs if name not in spared), "output",
    ]  # fmt: skip
    assert set(spared) <= set(step.optional)


def test_the_parameters_of_training_are_spelt_out_with_their_defaults_but_for_what_the_demo_saves() -> None:
    """DVC sets only what it finds: ``dvc exp run -S train.trainer.sampler.batch_size=32``."""
    spelt = yaml.safe_load((ROOT / "params.yaml").read_text())["train"]
    defaults = pipeline.stage_model("train")()
    trainer = dataclasses.replace(defaults.trainer, **FOR_THE_DEMO)
    assert pipeline.stage_config("train", ROOT / "params.yaml") == defaults.model_copy(update={"trainer": trainer})
    assert set(spelt) == set(type(defaults).model_fields)
    assert spelt["trainer"] == json.loads(json.dumps(dataclasses.asdict(trainer)))  # tuples are lists in YAML
    assert spelt["fine_tune"] == defaults.fine_tune.model_dump()


def _numbers(model: Any, said: str = "", prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield the numeric parameters of a configuration, and what it, its class and the sections around them say."""
    said = " ".join(f"{said} {model.__doc__} {model.__base__.__doc__}".split())
    hints = typing.get_type_hints(model)
    if issubclass(model, BaseModel):
        fields = [(name, one.default, one.description or "") for name, one in model.model_fields.items()]
    else:
        fields = [(one.name, one.default, one.metadata["description"]) for one in dataclasses.fields(model)]
    for name, default, meaning in fields:
        kinds = [kind for kind in (hints[name], *typing.get_args(hints[name])) if isinstance(kind, type)]
        section = next((one for one in kinds if issubclass(one, BaseModel) or dataclasses.is_dataclass(one)), None)
        if section is not None:
            yield from _numbers(section, said, f"{prefix}{name}.")
        elif type(default) in (int, float) and default not in (0, 1) and name not in RANDOM:
            yield f"{prefix}{name}", f"{said} {meaning}"


@pytest.mark.parametrize("stage", [*pipeline.STEPS, *pipeline.OTHER_SECTIONS])
def test_every_numeric_default_has_a_source(stage: str) -> None:
    assert [name for name, said in _numbers(pipeline.stage_model(stage)) if not SOURCE.search(said)] == []
