"""The shape of the code: short functions, files of one idea, rooms that only look left."""

from __future__ import annotations

import ast
import importlib
import re
import statistics
from collections.abc import Iterator
from pathlib import Path

import pytest

from ecclip.formats import columns

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "ecclip").rglob("*.py")) + sorted((ROOT / "dags").rglob("*.py"))
ROOMS = [
    "core", "product_input", "formats", "sample", "catalog", "model", "train", "embed",
    "tasks", "registry", "client", "serving", "local", "bench",
]  # fmt: skip


def _functions() -> Iterator[tuple[str, int]]:
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno is not None
                yield f"{path.relative_to(ROOT)}:{node.name}", node.end_lineno - node.lineno + 1


def test_functions_fit_a_screen() -> None:
    lengths = dict(_functions())
    assert statistics.median(lengths.values()) <= 12
    assert statistics.quantiles(lengths.values(), n=10)[-1] <= 40
    assert {name: lines for name, lines in lengths.items() if lines > 80} == {}


def test_files_hold_one_idea() -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in SOURCES}
    assert {name: lines for name, lines in lengths.items() if lines > 400} == {}


def _imported(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        found |= {name.split(".")[1] for name in names if name.startswith("ecclip.")}
    return found


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_rooms_to_its_left(room: str) -> None:
    allowed = {*ROOMS[: ROOMS.index(room) + 1], "atomic", "errors", "fields", "spool"}
    if room in ("local", "bench"):  # they run whole nights
        allowed |= {"pipeline", "release"}
    for path in (ROOT / "ecclip" / room).rglob("*.py"):
        assert _imported(path) <= allowed, path


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_exports_what_it_says_in_order(room: str) -> None:
    module = importlib.import_module(f"ecclip.{room}")
    order = sorted(module.__all__, key=lambda name: (not name.isupper(), name[0].islower(), name))
    assert list(module.__all__) == order  # constants, classes, functions
    folder = ROOT / "ecclip" / room
    modules = {path.stem for path in folder.glob("*.py")} | {path.parent.name for path in folder.glob("*/__init__.py")}
    assert [name for name in module.__all__ if not hasattr(module, name) and name not in modules] == []


def test_a_folder_holds_at_most_fifteen_modules() -> None:
    folders = {str(path.parent.relative_to(ROOT)) for path in SOURCES}
    modules = {folder: len(list((ROOT / folder).glob("*.py"))) for folder in folders}
    assert {folder: count for folder, count in modules.items() if count > 15} == {}


def test_public_names_have_docstrings() -> None:
    missing = []
    for path in SOURCES:
        for node in ast.parse(path.read_text()).body:
            named = isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef)
            if named and not node.name.startswith("_") and ast.get_docstring(node) is None:  # type: ignore[union-attr, arg-type]
                missing.append(f"{path.relative_to(ROOT)}:{node.name}")  # type: ignore[union-attr]
    assert missing == []


# Names that tests import past a door. It may fall: what shows at a door is tested there.
PRIVATE_TEST_IMPORTS = 355


def _door(folder: list[str]) -> set[str] | None:
    """Return what a folder's ``__init__`` names, or None where there is no such folder."""
    init = ROOT.joinpath(*folder, "__init__.py")
    if not init.is_file():
        return None
    for node in ast.parse(init.read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return set(ast.literal_eval(node.value))
    return set()


def _is_private(module: str, name: str) -> bool:
    """Say whether ``from module import name`` goes past the door of the folder that holds it."""
    folder = module.split(".")
    names = _door(folder)
    if name.startswith("_") or len(folder) == 1:
        return name.startswith("_")
    if names is not None:
        return name not in names
    return len(folder) > 2 and folder[-1] not in (_door(folder[:-1]) or ())


def test_tests_come_through_the_doors() -> None:
    past = [
        f"{path.relative_to(ROOT)}: {node.module}.{alias.name}"
        for path in sorted((ROOT / "tests").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "ecclip"
        for alias in node.names
        if _is_private(str(node.module), alias.name)
    ]
    assert len(past) <= PRIVATE_TEST_IMPORTS, past


# what a format names: files, folders in a path, columns that the house adds to a listing, schemas
FORMAT_FILES = {
    "bundle.json", "evidence.npz", "golden.parquet", "heads.json", "index.json", "lineage.json", "pairs.parquet",
    "recipes.json", "report.json", "snapshot.json", "start.json", "statistics.json",
}  # fmt: skip
FORMAT_FOLDERS = {
    "boilerplate", "groups", "heads", "listings", "placeholders", "quarantine", "shards", "texts", "towers",
}  # fmt: skip
FORMAT_COLUMNS = {
    value for name, value in vars(columns).items() if name.isupper() and "_" in value  # the others are plain words
}  # fmt: skip
FORMAT_SCHEMAS = ("ecclip.bundle/", "ecclip.embeddings/", "ecclip.shards/", "ecclip.snapshot/", "ecclip.start/")


def _format_names(source: str) -> list[str]:
    """Return the names of formats that code spells, docstrings left out."""
    tree = ast.parse(source)
    named = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    documented = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, named) and node.body and isinstance(node.body[0], ast.Expr)
    }
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div) and isinstance(node.right, ast.Constant):
            found += [name for name in FORMAT_FOLDERS if node.right.value == name]
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documented:
            found += set(re.findall(r"[\w.]+", node.value)) & (FORMAT_FILES | FORMAT_COLUMNS)
            found += [schema for schema in FORMAT_SCHEMAS if node.value.startswith(schema)]
    return found


@pytest.mark.parametrize(
    "spelled",
    ['x / "shards"', 'x / "bundle.json"', 'F.col("image_sha256")', 'f("a image_phash string")', 'f("ecclip.shards/1")'],
)
def test_a_spelled_name_of_a_format_is_found(spelled: str) -> None:
    assert len(_format_names(spelled)) == 1


def test_formats_names_stand_in_formats_only() -> None:
    others = [path for path in SOURCES if not path.is_relative_to(ROOT / "ecclip" / "formats")]
    spelled = {str(path.relative_to(ROOT)): _format_names(path.read_text()) for path in others}
    assert {path: names for path, names in spelled.items() if names} == {}


def test_unit_tests_lie_where_what_they_test_lies() -> None:
    unit = ROOT / "tests" / "unit"
    folders = {path.parent.relative_to(unit) for path in unit.rglob("test_*.py")}
    assert [str(folder) for folder in sorted(folders) if not (ROOT / "ecclip" / folder / "__init__.py").is_file()] == []
