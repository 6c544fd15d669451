"""Which files decide what a piece of code does: the closure of its imports, found in the source without importing it.

Followed are imports at the top of a module and inside functions, modules that are named in a string (they are spawned
by ``python -m`` or imported by name), and package data that a module names in a string and that lies beside it. A name
that comes through a package's ``__init__`` is followed to the module that defines it, not to everything that the
package offers. Imports for type checkers alone are not followed: they decide nothing at run time.
"""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import ecclip
from ecclip.atomic import files_below, sha256_file

_PACKAGE = Path(ecclip.__file__).parent
_MODULE_NAME = re.compile(r"ecclip(\.\w+)+(?=(:\w+)?$)")


def fingerprint(*sources: str | Path) -> dict[str, str]:
    """Return the SHA-256 of every file that decides what ``sources`` do, by its name within the package.

    ``sources`` are modules by their dotted names, or files. Cached: a process runs the code that it started with.
    """
    found: dict[str, str] = {}
    for source in sources:
        found |= _fingerprint(str(source))
    return dict(sorted(found.items()))


def source_files(source: str | Path) -> list[Path]:
    """Return the files whose bytes :func:`fingerprint` takes, in order."""
    walk = _Walk()
    path = _file_of(str(source)) or Path(source)
    walk.follow(path)
    return sorted(walk.files)


@functools.cache
def _fingerprint(source: str) -> dict[str, str]:
    return {_name(path): sha256_file(path) for path in source_files(source)}


def _name(path: Path) -> str:
    return path.relative_to(_PACKAGE).as_posix() if path.is_relative_to(_PACKAGE) else path.name


@dataclass
class _Walk:
    """The files found so far; a package's door is a file of its own, whose imports count by name only."""

    files: set[Path] = field(default_factory=set)
    followed: set[Path] = field(default_factory=set)

    def follow(self, path: Path) -> None:
        """Take a module whole: its file, the doors above it, its data, and whatever it imports."""
        if path in self.followed:
            return
        self.followed.add(path)
        self.files.add(path)
        self._doors_above(path)
        source = _parsed(path)
        for data in _data_beside(path, source.strings):
            self.files |= {data} if data.is_file() else set(files_below(data))
        for module, name in source.imports:
            self._resolve(module, name)
        for text in source.strings:
            named = _MODULE_NAME.match(text)
            if named and (spawned := _file_of(named.group())):
                self.follow(spawned)

    def _doors_above(self, path: Path) -> None:
        for folder in path.parents:
            if not folder.is_relative_to(_PACKAGE):
                return
            door = folder / "__init__.py"
            if door.is_file():
                self.files.add(door)

    def _resolve(self, module: str, name: str | None) -> None:
        """Follow ``from module import name`` to where the name is defined; None: the module itself is imported."""
        target = _file_of(f"{module}.{name}") if name else None
        if target is not None:
            self.follow(target)
            return
        door = _file_of(module)
        if door is None:
            return
        origin = _parsed(door).offered.get(name) if name and door.name == "__init__.py" else None
        if origin is None:
            self.follow(door)
        else:
            self.files.add(door)
            self._doors_above(door)
            self._resolve(*origin)


@dataclass(frozen=True)
class _Source:
    imports: list[tuple[str, str | None]]
    strings: set[str]
    offered: dict[str | None, tuple[str, str | None]]


@functools.cache
def _parsed(path: Path) -> _Source:
    tree = ast.parse(path.read_bytes())
    imports: list[tuple[str, str | None]] = []
    strings: set[str] = set()
    offered: dict[str | None, tuple[str, str | None]] = {}
    for node in _run_time_nodes(tree):
        if isinstance(node, ast.Import):
            imports += [(alias.name, None) for alias in node.names if alias.name.startswith("ecclip.")]
        elif isinstance(node, ast.ImportFrom) and f"{node.module}.".startswith("ecclip."):
            imports += [(str(node.module), alias.name) for alias in node.names]
            offered |= {alias.asname or alias.name: (str(node.module), alias.name) for alias in node.names}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and len(node.value) < 100:
            strings.add(node.value)
    return _Source(imports, strings, offered)


def _run_time_nodes(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
            for other in child.orelse:
                yield from _run_time_nodes(other)
            continue
        yield child
        yield from _run_time_nodes(child)


def _data_beside(module: Path, strings: set[str]) -> list[Path]:
    """Return files and folders beside a module that are no code and that the module names."""
    beside = [path for path in module.parent.iterdir() if path.name in strings and path != module]
    return [path for path in beside if path.suffix != ".py" and not (path / "__init__.py").is_file()]


def _file_of(module: str) -> Path | None:
    """Return the file of a module of ecclip by its dotted name; None: there is none of this name."""
    if module != "ecclip" and not module.startswith("ecclip."):
        return None
    path = _PACKAGE.joinpath(*module.split(".")[1:])
    for file in (path / "__init__.py", path.with_suffix(".py")):
        if file.is_file():
            return file
    return None
