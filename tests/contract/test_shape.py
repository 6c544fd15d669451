"""The shape of the code: short functions, files of one idea, small folders, and rooms that only look left."""

from __future__ import annotations

import ast
import importlib
import itertools
import re
import statistics
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from ecclip.formats import columns
from ecclip.house import GROUND, ROOMS, reached_from

ROOT = Path(__file__).parents[2]
PACKAGE = sorted((ROOT / "ecclip").rglob("*.py"))
SOURCES = PACKAGE + sorted((ROOT / "dags").rglob("*.py"))
# they run whole nights, one as services and one for figures, or look for one
MORE = {
    "local": {"nights", "pipeline", "release", "cli"},
    "bench": {"pipeline", "release"},
    "review": {"nights", "pipeline"},
}


def _functions() -> Iterator[tuple[str, int]]:
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno is not None
                yield f"{path.relative_to(ROOT)}:{node.name}", node.end_lineno - node.lineno + 1


def test_functions_fit_a_screen() -> None:
    lengths = dict(_functions())
    assert statistics.median(lengths.values()) <= 10
    assert statistics.quantiles(lengths.values(), n=10)[-1] <= 40
    assert {name: lines for name, lines in lengths.items() if lines > 80} == {}


def test_files_hold_one_idea() -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in SOURCES}
    assert {name: lines for name, lines in lengths.items() if lines > 400} == {}


def test_a_folder_holds_at_most_fifteen_modules() -> None:
    folders = {str(path.parent.relative_to(ROOT)) for path in SOURCES}
    modules = {folder: len(list((ROOT / folder).glob("*.py"))) for folder in folders}
    assert {folder: count for folder, count in modules.items() if count > 15} == {}


def test_files_have_plain_names() -> None:
    names = {path.relative_to(ROOT).as_posix() for path in SOURCES if path.name.startswith("_")}
    assert {name for name in names if not name.endswith(("/__init__.py", "/__main__.py"))} == set()


def test_every_folder_of_the_package_is_a_room() -> None:
    above = {"orchestration", "release"}  # of whole nights: what the DAGs add to Airflow, steps with side effects
    assert {path.parent.name for path in (ROOT / "ecclip").glob("*/__init__.py")} == {*ROOMS, *above}


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_reaches_only_rooms_to_its_left(room: str) -> None:
    """By imports at once or late, and by processes and modules that it names in a text."""
    allowed = {*ROOMS[: ROOMS.index(room) + 1], *GROUND, *MORE.get(room, ())}
    files = (ROOT / "ecclip" / room).rglob("*.py")
    found = {str(path.relative_to(ROOT)): reached_from(path) - allowed for path in files}
    assert {name: rooms for name, rooms in found.items() if rooms} == {}


def test_imports_of_the_client_are_relative_and_others_are_not() -> None:
    """Its files are in a wheel where they, and what they import, have another name (packaging/client)."""
    found: dict[bool, set[str]] = {True: set(), False: set()}
    for path in PACKAGE:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.level or str(node.module).split(".")[0] == "ecclip"):
                found[bool(node.level)].add(path.relative_to(ROOT).parts[1])
    assert found[True] == {"client"}
    assert "client" not in found[False]
    assert set().union(*(reached_from(path) for path in (ROOT / "ecclip/client").glob("*.py"))) == {"errors", "formats"}


@pytest.mark.parametrize("name", GROUND)
def test_the_ground_stands_on_the_standard_library(name: str) -> None:
    assert reached_from(ROOT / "ecclip" / f"{name}.py") <= {*GROUND}


def _doors() -> dict[str, set[str]]:
    """Return what each package names in its ``__all__``, by the package's dotted name."""
    found = {}
    for path in (ROOT / "ecclip").rglob("__init__.py"):
        values = [
            ast.literal_eval(node.value)
            for node in ast.parse(path.read_text()).body
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
        ]
        found[".".join(path.parent.relative_to(ROOT).parts)] = set().union(*values)
    return found


def _is_open(module: str, name: str, doors: dict[str, set[str]]) -> bool:
    """Return whether ``from module import name`` goes through doors: each names the next, the last one the name."""
    parts = module.split(".")
    steps = [(".".join(parts[:length]), parts[length]) for length in range(2, len(parts))]
    through = all(step in doors.get(package, ()) for package, step in steps)
    return through and not name.startswith("_") and (module not in doors or name in doors[module])


def test_rooms_are_entered_through_their_doors() -> None:
    doors, past = _doors(), set()
    for path in SOURCES:
        own = path.relative_to(ROOT).parts[1]
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.ImportFrom) or not (node.module or "").startswith("ecclip."):
                continue
            module = str(node.module)
            if module.split(".")[1] in {*ROOMS} - {own}:
                closed = [alias.name for alias in node.names if not _is_open(module, alias.name, doors)]
                past |= {f"{path.relative_to(ROOT)}: {module}.{name}" for name in closed}
    assert past == set()


def _taken_from_outside() -> dict[str, set[str]]:
    """Return what files elsewhere import or start of each folder inside a room; doors that pass it on do not count."""
    taken: dict[str, set[str]] = {package: set() for package in _doors() if package.count(".") > 1}
    for path in SOURCES:
        own = ".".join((*path.parent.relative_to(ROOT).parts, ""))
        names = () if path.name == "__init__.py" else _imported_or_started(ast.parse(path.read_text()))
        for name, folder in itertools.product(names, taken):
            if name.startswith(f"{folder}.") and not own.startswith(f"{folder}."):
                taken[folder].add(name.removeprefix(f"{folder}.").split(".")[0])
    return taken


def _imported_or_started(tree: ast.AST) -> set[str]:
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Constant) and re.fullmatch(r"ecclip[\w.]+:\w+", str(node.value)):
            found.add(str(node.value).split(":")[0])
    return found


@pytest.mark.parametrize(("folder", "taken"), sorted(_taken_from_outside().items()))
def test_the_door_of_a_folder_opens_what_other_folders_take_and_no_more(folder: str, taken: set[str]) -> None:
    door = _doors()[folder]
    modules = {path.stem for path in ROOT.joinpath(*folder.split(".")).glob("*.py")}
    assert taken - door == set()
    assert (door & modules) - taken == set()


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_exports_what_it_says_in_order(room: str) -> None:
    module = importlib.import_module(f"ecclip.{room}")
    order = sorted(module.__all__, key=lambda name: (not name.isupper(), name[0].islower(), name))
    assert list(module.__all__) == order  # constants, classes, functions and modules


@pytest.mark.parametrize("package", sorted(_doors()))
def test_a_door_names_what_is_behind_it(package: str) -> None:
    folder = ROOT.joinpath(*package.split("."))
    modules = {path.stem for path in folder.glob("*.py")} | {path.parent.name for path in folder.glob("*/__init__.py")}
    named = {name for node in ast.walk(ast.parse((folder / "__init__.py").read_text())) for name in _bound(node)}
    assert _doors()[package] - modules - named == set()


def _bound(node: ast.AST) -> list[str]:
    if isinstance(node, ast.ImportFrom):
        return [alias.asname or alias.name for alias in node.names]
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    targets = [*getattr(node, "targets", ()), getattr(node, "target", None)]
    return [target.id for target in targets if isinstance(target, ast.Name)]


def test_public_names_have_docstrings() -> None:
    missing = []
    for path in SOURCES:
        for node in ast.parse(path.read_text()).body:
            named = isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef)
            if named and not node.name.startswith("_") and ast.get_docstring(node) is None:  # type: ignore[union-attr, arg-type]
                missing.append(f"{path.relative_to(ROOT)}:{node.name}")  # type: ignore[union-attr]
    assert missing == []


# Names that tests import past a door. It may fall: what shows at a door is tested there.
PRIVATE_TEST_IMPORTS = 85


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
    "answers.json", "answers.parquet", "bundle.json", "evidence.npz", "golden.parquet", "heads.json", "index.json",
    "lineage.json", "pairs.parquet", "products.parquet", "recipes.json", "report.json", "snapshot.json", "start.json",
    "statistics.json",
}  # fmt: skip
FORMAT_FOLDERS = {
    "boilerplate", "groups", "heads", "listings", "placeholders", "quarantine", "shards", "texts", "towers",
}  # fmt: skip
FORMAT_COLUMNS = {
    value for name, value in vars(columns).items() if name.isupper() and "_" in value  # the others are plain words
}  # fmt: skip
FORMAT_SCHEMAS = (
    "ecclip.answers/",
    "ecclip.bundle/",
    "ecclip.embeddings/",
    "ecclip.heads/",
    "ecclip.shards/",
    "ecclip.snapshot/",
    "ecclip.start/",
)


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


def test_modules_of_tests_have_names_of_their_own() -> None:
    """Pytest, whose folders of tests are no packages, collects no second module of one name."""
    names = Counter(path.name for path in (ROOT / "tests").rglob("*.py") if path.name != "conftest.py")
    assert {name for name, count in names.items() if count > 1} == set()


def test_unit_tests_lie_where_what_they_test_lies() -> None:
    unit = ROOT / "tests" / "unit"
    folders = {path.parent.relative_to(unit) for path in unit.rglob("test_*.py")}
    assert [str(folder) for folder in sorted(folders) if not (ROOT / "ecclip" / folder / "__init__.py").is_file()] == []
