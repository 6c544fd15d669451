"""Which files decide what a piece of code does: the closure of its imports, found in the source without importing it.

Followed are imports at the top of a module and inside functions; modules that are named in a string, whole or with
computed parts (they are spawned by ``python -m`` or imported by name); and data. A module that asks where a module
lies (``__file__``, ``importlib.resources``) may read any file next to it by a computed name: everything there that is
not code counts, and what it names in the folders above. A name imported through a package's ``__init__`` is followed
to the module that defines it, not to everything that the package offers.

What decides a result and is not a file of this package (libraries, settings, the machine) is not covered: a stage puts
what matters of it into its configuration or its inputs.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ecclip
from ecclip.atomic import files_below, sha256_file
from ecclip.core.source_code import SourceCode, source_code
from ecclip.errors import ConfigError

_PACKAGE = Path(ecclip.__file__).parent
_ROOT = _PACKAGE.parent
_REMEMBERED: dict[Path, str] = {}  # of a process that imports before it forks: the digests of its files
_MODULE_NAME = re.compile(r"ecclip(\.\w+)+(?=(:\w+)?$)")


def fingerprint(*sources: str | Path | Callable[..., Any]) -> dict[str, str]:
    """Return the SHA-256 of every file that decides what ``sources`` do, by its name within the package.

    ``sources`` are files, modules by their dotted names, or functions, which stand for the modules that define them.
    Cached: a process runs the code that it started with.

    Raises:
        ConfigError: a function has no source file.
    """
    found: dict[str, str] = {}
    for source in sources:
        found |= _fingerprint(_defined_in(source) if callable(source) else str(source))
    return dict(sorted(found.items()))


def remember_code() -> None:
    """Keep what the package's files are, before a process imports them and forks: see :func:`require_same_code`."""
    _REMEMBERED.update((path, sha256_file(path)) for path in _PACKAGE.rglob("*.py"))


def require_same_code() -> None:
    """Refuse to work in a process that was forked from one which had imported other code than there is now.

    It would run the old code and sign for the new one: :func:`fingerprint` reads the files.

    Raises:
        ConfigError: a file has changed since :func:`remember_code`; names it.
    """
    for path, digest in _REMEMBERED.items():
        if not path.is_file() or sha256_file(path) != digest:
            raise ConfigError(
                "the code of ecclip has changed since Airflow was started",
                value=path,
                next_step="make down && make up, then clear this task or run the night again",
            )


def source_files(source: str | Path) -> list[Path]:
    """Return the files whose bytes :func:`fingerprint` takes, in order."""
    walk = _Walk()
    walk.follow(_file_of(str(source)) or Path(source))
    return sorted(walk.files)


def _defined_in(function: Callable[..., Any]) -> str:
    path = inspect.getsourcefile(inspect.unwrap(function))
    if path is None or not Path(path).is_file():
        raise ConfigError(
            "the code of a stage must come from a file", value=function, next_step="define it in a module"
        )
    return path


@functools.cache
def _fingerprint(source: str) -> dict[str, str]:
    return {_name(path): sha256_file(path) for path in source_files(source)}


def _name(path: Path) -> str:
    for folder in (_PACKAGE, _ROOT):
        if path.is_relative_to(folder):
            return path.relative_to(folder).as_posix()
    return path.name


@dataclass
class _Walk:
    """The files found so far; a package's door is its own file, whose imports count by name only."""

    files: set[Path] = field(default_factory=set)
    followed: set[Path] = field(default_factory=set)

    def follow(self, path: Path) -> None:
        """Take a module whole: its file, the doors above it, its data, and whatever it imports or names."""
        if path in self.followed:
            return
        self.followed.add(path)
        self._take(path)
        source = source_code(path, _package_of(path))
        self.files.update(_data_of(path, source))
        for module, name in source.imports:
            self._resolve(module, name)
        for named in _modules_named(path, source):
            self.follow(named)

    def _take(self, path: Path) -> None:
        """Take a file and the doors above it, through which Python comes to it."""
        self.files.add(path)
        doors = (folder / "__init__.py" for folder in path.parents if folder.is_relative_to(_PACKAGE))
        self.files.update(door for door in doors if door.is_file())

    def _resolve(self, module: str, name: str | None) -> None:
        """Follow ``from module import name`` to where the name is defined; None: the module itself is imported."""
        target = _file_of(f"{module}.{name}") if name else None
        if target is not None:
            self.follow(target)
        door = _file_of(module)
        if door is None:
            return
        origin = source_code(door, _package_of(door)).offered.get(name or "") if door.name == "__init__.py" else None
        if origin is None and target is None:
            self.follow(door)
        else:
            self._take(door)
        if origin is not None and origin != (module, name):
            self._resolve(*origin)


def _modules_named(path: Path, source: SourceCode) -> Iterator[Path]:
    """Yield the modules that a file names in strings: by dotted names, by patterns of them, or as files next to it."""
    for text in source.strings:
        named = _MODULE_NAME.match(text)
        if named and (file := _file_of(named.group())):
            yield file
        if text.endswith(".py") and text != "__init__.py" and (beside := path.parent / text).is_file():
            yield beside
    for package in source.runs:
        if (door := _file_of(package)) and (main := door.with_name("__main__.py")).is_file():
            yield main
    for pattern in source.patterns:
        if pattern.startswith(r"ecclip\."):
            yield from (file for module, file in _all_modules().items() if re.fullmatch(pattern, module))


def _data_of(module: Path, source: SourceCode) -> Iterator[Path]:
    """Yield the files that are not code of the package and that a module may read."""
    if not source.knows_its_folder:
        return
    for path in module.parent.iterdir():
        if not _is_code(path):
            yield from _files(path)
    above = [folder for folder in module.parents if folder.is_relative_to(_ROOT)] if _inside(module) else []
    for path in (folder / text for folder in above for text in source.strings if text and "\0" not in text):
        if path.is_relative_to(_ROOT) and path.exists() and not _is_code(path) and path.parent in above:
            yield from _files(path)


def _files(path: Path) -> Iterable[Path]:
    return [path] if path.is_file() else files_below(path)


def _is_code(path: Path) -> bool:
    hidden = path.name.startswith((".", "__pycache__"))
    return hidden or path.suffix in (".py", ".pyc") or (path / "__init__.py").is_file()


def _inside(path: Path) -> bool:
    return path.is_relative_to(_PACKAGE)


def _package_of(path: Path) -> str:
    return ".".join(path.parent.relative_to(_ROOT).parts) if _inside(path) else ""


@functools.cache
def _all_modules() -> dict[str, Path]:
    found = {}
    for path in sorted(_PACKAGE.rglob("*.py")):
        parts = path.relative_to(_ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def _file_of(module: str) -> Path | None:
    """Return the file of a module of ecclip by its dotted name; None: there is none of this name."""
    if module != "ecclip" and not module.startswith("ecclip."):
        return None
    path = _PACKAGE.joinpath(*module.split(".")[1:])
    for file in (path / "__init__.py", path.with_suffix(".py")):
        if file.is_file():
            return file
    return None
