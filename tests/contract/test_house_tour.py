"""The tour of the house is true: its picture is drawn from the imports, and every name on it leads somewhere."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from ecclip.house import picture
from ecclip.pipeline import STEPS

ROOT = Path(__file__).parents[2]
WALK = ROOT / "docs" / "from-row-to-answer.md"
TOUR = [WALK, ROOT / "docs" / "architecture.md", ROOT / "CONTRIBUTING.md"]


def _leads_somewhere(name: str) -> bool:
    """Return whether a dotted name is a module, or something that a module itself defines; nothing is imported."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        path = ROOT.joinpath(*parts[:length])
        file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        if file.is_file():
            return _defines(ast.parse(file.read_text()), parts[length:])
    return False


def _defines(scope: ast.AST, names: list[str]) -> bool:
    if not names:
        return True
    for node in ast.iter_child_nodes(scope):
        imported = [alias.asname or alias.name for alias in node.names] if isinstance(node, ast.ImportFrom) else []
        if names in [[name] for name in imported]:
            return True
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and node.name == names[0]:
            return _defines(node, names[1:])
        targets = [*getattr(node, "targets", ()), getattr(node, "target", None)]
        if len(names) == 1 and names[0] in [target.id for target in targets if isinstance(target, ast.Name)]:
            return True
    return False


def test_the_picture_is_that_of_the_imports() -> None:
    assert picture() in (ROOT / "docs" / "architecture.md").read_text(), "python -m ecclip house prints the present one"


@pytest.mark.parametrize("page", TOUR, ids=lambda page: page.name)
def test_every_name_on_a_page_leads_somewhere(page: Path) -> None:
    names = set(re.findall(r"`(ecclip(?:\.\w+)+)`", page.read_text()))
    assert names
    assert {name for name in names if not _leads_somewhere(name)} == set()


@pytest.mark.parametrize("page", TOUR, ids=lambda page: page.name)
def test_every_file_that_a_page_of_the_tour_names_is_there(page: Path) -> None:
    named = set(re.findall(r"`((?:ecclip|dags|docs|tests|triton_models|scripts)/[\w./-]+)`", page.read_text()))
    assert {name for name in named if not (ROOT / name).exists()} == set()


def test_the_walk_passes_every_stage_in_its_order() -> None:
    functions = [step.function.replace(":", ".") for step in STEPS.values()]
    text = WALK.read_text()
    places = {name: text.find(f"`{name}`") for name in functions}
    assert [name for name, place in places.items() if place < 0] == []
    assert sorted(functions, key=places.__getitem__) == functions
