"""All errors are one drawn tree, and each that is raised says the next step."""

from __future__ import annotations

import ast
import builtins
import pickle
from pathlib import Path

import pytest

from ecclip import errors

ROOT = Path(__file__).parents[2]
SOURCES = {path: ast.parse(path.read_text()) for path in sorted((ROOT / "ecclip").rglob("*.py"))}
DAGS = {path: ast.parse(path.read_text()) for path in sorted((ROOT / "dags").rglob("*.py"))}
TRAVELS = ("PreprocessingError", "DecisionError", "BundleError")  # in bundles, beside a server that has no ecclip


def _drawn() -> dict[str, str]:
    """Return the parent of every error in the docstring's trees, by name."""
    assert errors.__doc__ is not None
    parents: dict[str, str] = {}
    above: list[str] = []
    for line in errors.__doc__.splitlines():
        branch = max(line.rfind("├── "), line.rfind("└── "))
        depth = 0 if branch < 0 else branch // 4 + 1
        if branch >= 0:
            name = line[branch + 4 :].split()[0]
            parents[name] = above[depth - 1]
        elif len(line.split()) == 1 and line.isidentifier():
            name = line
        else:
            continue
        above[depth:] = [name]
    return parents


def _base(node: ast.ClassDef) -> str:
    return node.bases[0].id if node.bases and isinstance(node.bases[0], ast.Name) else ""


def _defined() -> dict[str, str]:
    """Return the first base of every exception that is defined in ecclip, by name."""
    classes = {
        node.name: _base(node) for tree in SOURCES.values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)
    }
    known = {
        name for name, kind in vars(builtins).items() if isinstance(kind, type) and issubclass(kind, BaseException)
    }
    found: dict[str, str] = {}
    while more := {name: base for name, base in classes.items() if base in {*known, *found} and name not in found}:
        found |= more
    return found


def _errors() -> list[type[errors.EcclipError]]:
    kinds = [errors.EcclipError]
    for kind in kinds:
        kinds += kind.__subclasses__()
    return [kind for kind in dict.fromkeys(kinds) if kind.__module__ == errors.__name__]


def test_the_drawn_tree_is_the_classes() -> None:
    assert _drawn() | {"EcclipError": "Exception"} == _defined()


def test_the_tree_imports_nothing_of_ecclip_and_what_travels_in_bundles_does_not_import_it() -> None:
    outside = {
        path: tree
        for path, tree in SOURCES.items()
        if any(isinstance(node, ast.ClassDef) and node.name in TRAVELS for node in tree.body)
    }
    assert len(outside) == len(TRAVELS)
    for path, tree in {**outside, ROOT / "ecclip" / "errors.py": SOURCES[ROOT / "ecclip" / "errors.py"]}.items():
        imported = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        imported |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        assert [name for name in imported if name in ("ecclip", "ecclip.errors", "ecclip.core")] == [], path


def test_every_error_that_is_raised_says_the_next_step() -> None:
    names = {kind.__name__ for kind in _errors()}
    silent = []
    for path, tree in (SOURCES | DAGS).items():
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or node.func.id not in names:
                continue
            given = {word.arg: word.value for word in node.keywords}
            step = given.get("next_step")
            if step is None or (isinstance(step, ast.Constant) and not step.value):
                silent.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert silent == []


@pytest.mark.parametrize("kind", _errors(), ids=lambda kind: kind.__name__)
def test_an_error_crosses_the_border_of_a_process_whole(kind: type[errors.EcclipError]) -> None:
    error = kind("too long", value=Path("titles.csv"), limit=3, next_step="shorten it")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert str(again) == str(error) == "too long; value: titles.csv; limit: 3; next: shorten it"
    assert (again.what, again.limit, again.next_step) == ("too long", 3, "shorten it")
