"""A setting or a parameter that does nothing is a defect: every name of one is read somewhere."""

from __future__ import annotations

import ast
import dataclasses
import typing
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from ecclip import pipeline
from ecclip.core import Settings

ROOT = Path(__file__).parents[2]


@lru_cache(maxsize=1)
def names_read() -> frozenset[str]:
    """Every attribute that some code of the project reads."""
    return frozenset(
        node.attr for node in _nodes() if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)
    )


def names_spelt() -> frozenset[str]:
    """Every name that is written as a text: the sample's faults are looked up by theirs."""
    return frozenset(node.value for node in _nodes() if isinstance(node, ast.Constant) and isinstance(node.value, str))


def _nodes() -> Iterator[ast.AST]:
    for file in [*(ROOT / "ecclip").rglob("*.py"), *(ROOT / "dags").glob("*.py")]:
        yield from ast.walk(ast.parse(file.read_text()))


def names_of(model: Any) -> Iterator[str]:
    """The names of a configuration and of those inside it."""
    if issubclass(model, BaseModel):
        fields = {name: field.annotation for name, field in model.model_fields.items()}
    else:
        hints = typing.get_type_hints(model)
        fields = {field.name: hints[field.name] for field in dataclasses.fields(model)}
    for name, kind in fields.items():
        yield name
        if isinstance(kind, type) and (dataclasses.is_dataclass(kind) or issubclass(kind, BaseModel)):
            yield from names_of(kind)


@pytest.mark.parametrize("name", list(Settings.model_fields))
def test_every_setting_is_read(name: str) -> None:
    assert name in names_read()


@pytest.mark.parametrize("section", [*pipeline.STEPS, *pipeline.OTHER_SECTIONS])
def test_every_parameter_is_read(section: str) -> None:
    assert (
        set(names_of(pipeline.stage_model(section))) - names_read() - (names_spelt() if section == "sample" else set())
        == set()
    )


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("", {}),
        ('{"spark.a": 1, "spark.b": true, "spark.c": "x y"}', {"spark.a": "1", "spark.b": "true", "spark.c": "x y"}),
        ("spark.a=1,spark.b=2", {"spark.a": "1", "spark.b": "2"}),
        ("spark.a=1 spark.b=2\nspark.c=3", {"spark.a": "1", "spark.b": "2", "spark.c": "3"}),
        ("spark.jars=a.jar,b.jar, spark.o=-Da=1 -Db=2", {"spark.jars": "a.jar,b.jar", "spark.o": "-Da=1 -Db=2"}),
    ],
)
def test_options_of_spark_are_json_or_a_list(
    text: str, options: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ECCLIP_SPARK_CONF", text)
    assert Settings().spark_conf == options


@pytest.mark.parametrize("text", ["a=b", "spark.a", '{"spark.a": 1', "[1]"])
def test_what_is_no_option_of_spark_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECCLIP_SPARK_CONF", text)
    with pytest.raises(ValueError, match="spark_conf"):
        Settings()
