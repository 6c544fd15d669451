"""A numeric constant says where it comes from: a paper, a measurement, a standard, or judgment."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]


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
