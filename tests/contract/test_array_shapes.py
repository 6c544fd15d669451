"""A public function of arrays or tensors says their shapes: ``float32 [N, d]``, ``[]`` for a scalar."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("model", "train", "embed", "tasks", "product_input")
ARRAYS = {"np.ndarray", "torch.Tensor", "Tensor"}
SAID = re.compile(r"\[[^\]]*\]|See :meth:")


def _functions(node: ast.Module | ast.ClassDef) -> Iterator[ast.FunctionDef]:
    for inner in node.body:
        if isinstance(inner, ast.ClassDef) and not inner.name.startswith("_"):
            yield from _functions(inner)
        elif isinstance(inner, ast.FunctionDef) and not inner.name.startswith("_"):
            yield inner


def _has_arrays(function: ast.FunctionDef) -> bool:
    annotations = [one.annotation for one in (*function.args.args, *function.args.kwonlyargs)] + [function.returns]
    kinds = {kind.strip() for one in annotations if one is not None for kind in ast.unparse(one).split("|")}
    return bool(kinds & ARRAYS) or any(kind.startswith("tuple[") and ARRAYS & _parts(kind) for kind in kinds)


def _parts(kind: str) -> set[str]:
    return {part.strip() for part in kind.removeprefix("tuple[").removesuffix("]").split(",")}


@pytest.mark.parametrize("room", ROOMS)
def test_a_function_of_arrays_says_their_shapes(room: str) -> None:
    found = {
        f"{path.relative_to(ROOT)}: {function.name}": ast.get_docstring(function) or ""
        for path in sorted((ROOT / "ecclip" / room).rglob("*.py"))
        for function in _functions(ast.parse(path.read_text()))
        if _has_arrays(function)
    }
    assert found, "the rooms or the annotations have other names"
    assert [name for name, said in found.items() if not SAID.search(said)] == []
