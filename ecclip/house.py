"""The rooms of the house in their order, and the arrows between them as the imports are: the picture of the docs."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

PACKAGE = Path(__file__).parent
# a room imports rooms before it; what each of them takes and gives is said in docs/architecture.md
ROOMS = (
    "core", "product_input", "formats", "sample", "catalog", "model", "train", "embed",
    "tasks", "review", "registry", "client", "serving", "local", "bench",
)  # fmt: skip
GROUND = ("atomic", "errors", "fields", "spool")  # standard library only: every room may import them
_ABOVE = "above"  # pipeline, release, cli, orchestration: what may import every room
_NAMED = re.compile(r"(ecclip\.\w+)[\w.]*(:\w+)?")


def room_of(path: Path) -> str:
    """Return the room that a file of the package belongs to; the name of the module for a file of no room."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def reached_from(path: Path) -> set[str]:
    """Return the rooms and modules below ``ecclip`` that a file imports, at once or late, spawns or names."""
    package = ".".join(("ecclip", *path.relative_to(PACKAGE).parts[:-1]))
    named = (name.split(".") for name in _names_in(ast.parse(path.read_bytes()), package))
    return {parts[1] for parts in named if parts[0] == "ecclip" and len(parts) > 1} - {room_of(path)}


def arrows() -> dict[str, set[str]]:
    """Return for every room the rooms that it reaches, the ground and ``core`` left out: every room stands on them."""
    found: dict[str, set[str]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        room = room_of(path) if room_of(path) in ROOMS else _ABOVE
        if room != "core":
            found.setdefault(room, set()).update(reached_from(path) & {*ROOMS} - {"core"})
    return found


def picture() -> str:
    """Return the picture of docs/architecture.md in Mermaid's language."""
    found = arrows()
    inside = set().union(*(reached for room, reached in found.items() if room != _ABOVE))
    found[_ABOVE] -= inside  # it reaches the others, too, as it starts their stages
    lines = ["```mermaid", "flowchart RL", f'  {_ABOVE}["pipeline · release · orchestration · cli"]']
    for room in (_ABOVE, *reversed(ROOMS)):
        lines += [f"  {room} --> {other}" for other in ROOMS if other in found.get(room, ())]
    return "\n".join([*lines, "```"]) + "\n"


def _names_in(tree: ast.AST, package: str) -> Iterator[str]:
    """Yield dotted names: of imports anywhere in a module, and of modules in texts, which are loaded or run by name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) + 1 - node.level] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            yield module
            if module == "ecclip":
                yield from (f"ecclip.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.List | ast.Tuple):
            words = [word.value if isinstance(word, ast.Constant) else None for word in node.elts]
            yield from ("ecclip.cli" for pair in pairwise(words) if pair == ("-m", "ecclip"))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and (found := _NAMED.fullmatch(node.value)):
            yield found.group(1)
