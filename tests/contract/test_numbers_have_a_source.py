"""A number that decides something says where it comes from: a paper, a measurement, a standard, or judgment."""

from __future__ import annotations

import ast
import dataclasses
import re
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from ecclip import pipeline

ROOT = Path(__file__).parents[2]
SOURCE = re.compile(r"judgment|chosen on|the default of|twice the default|\d{4}\)|results/|as in top-5")
RANDOM = ("seed",)  # any number does


def _constants(path: Path) -> Iterator[tuple[str, bool]]:
    """Yield the numeric constants of a module, and whether a comment stands beside or above each."""
    text = path.read_text()
    lines = text.splitlines()
    for node in ast.parse(text).body:
        if isinstance(node, ast.Assign) and _is_number(node.value):
            comment = lines[node.lineno - 2].lstrip().startswith("#")
            yield ast.unparse(node.targets[0]), comment or "#" in "".join(lines[node.lineno - 1 : node.end_lineno])


def _is_number(value: ast.expr) -> bool:
    """Whether an expression consists of numbers alone: ``64 << 20``, ``(0.02, 0.5)``, ``math.log(100.0)``."""
    if isinstance(value, ast.Tuple):
        return all(map(_is_number, value.elts))
    if isinstance(value, ast.Call):
        return bool(value.args) and not value.keywords and all(map(_is_number, value.args))
    if isinstance(value, ast.BinOp):
        return _is_number(value.left) and _is_number(value.right)
    if isinstance(value, ast.UnaryOp):
        return _is_number(value.operand)
    return isinstance(value, ast.Constant) and type(value.value) in (int, float)


def test_every_numeric_constant_has_a_comment() -> None:
    bare = [
        f"{path.relative_to(ROOT)}: {name}"
        for folder in ("ecclip", "triton_models", "dags")
        for path in sorted((ROOT / folder).rglob("*.py"))
        for name, commented in _constants(path)
        if not commented
    ]
    assert bare == []


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
