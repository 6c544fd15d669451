"""What one Python file says about the others that it needs, read from its syntax tree without importing it."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

Import = tuple[str, str | None]
"""``from module import name``, or the whole module where the name is None."""

_LONGEST_NAME = 200  # longer texts are messages and templates, no names of modules or files
_KNOWS_ITS_FOLDER = {"__file__", "__path__", "__spec__", "resources", "pkgutil", "PackageLoader"}


@dataclass
class SourceCode:
    """What a file imports and names.

    ``offered`` is where an imported name comes from, by the name that it has here. ``patterns`` are regular expressions
    of texts that are put together at run time. ``runs`` is what follows ``-m`` in a command. ``knows_its_folder``: the
    file asks where it, or another module, lies, so it may read what lies there.
    """

    imports: list[Import] = field(default_factory=list)
    offered: dict[str, Import] = field(default_factory=dict)
    strings: set[str] = field(default_factory=set)
    patterns: set[str] = field(default_factory=set)
    runs: set[str] = field(default_factory=set)
    knows_its_folder: bool = False


@functools.cache
def source_code(path: Path, package: str = "") -> SourceCode:
    """Read a file; ``package`` is the dotted name of the package that it lies in, for relative imports.

    Imports for type checkers alone and docstrings are left out: they decide nothing at run time.
    """
    found = SourceCode()
    for node in _run_time_nodes(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            found.imports += [(alias.name, None) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            _take_names(node, package, found)
        elif isinstance(node, ast.JoinedStr):
            found.patterns.add(_pattern(node))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and len(node.value) < _LONGEST_NAME:
            found.strings.add(node.value)
        elif isinstance(node, ast.List | ast.Tuple):
            found.runs |= _run_by_name(node)
        elif isinstance(node, ast.Name | ast.Attribute):
            name = node.id if isinstance(node, ast.Name) else node.attr
            found.knows_its_folder |= name in _KNOWS_ITS_FOLDER
    return found


def _take_names(node: ast.ImportFrom, package: str, found: SourceCode) -> None:
    parents = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
    module = ".".join([*parents, *([node.module] if node.module else [])])
    for alias in node.names:
        found.imports.append((module, alias.name))
        found.offered[alias.asname or alias.name] = (module, alias.name)
        found.knows_its_folder |= alias.name in _KNOWS_ITS_FOLDER


def _pattern(node: ast.JoinedStr) -> str:
    """Return what a text with computed parts may be; a part may hold several words of a dotted name."""
    parts = (re.escape(str(part.value)) if isinstance(part, ast.Constant) else r"[\w.]*" for part in node.values)
    return "".join(parts)


def _run_by_name(command: ast.List | ast.Tuple) -> set[str]:
    words = [word.value if isinstance(word, ast.Constant) else None for word in command.elts]
    return {str(word) for flag, word in pairwise(words) if flag == "-m" and word}


def _run_time_nodes(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            for other in child.orelse:
                yield other
                yield from _run_time_nodes(other)
        elif not (isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant)):
            yield child
            yield from _run_time_nodes(child)
