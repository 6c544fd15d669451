"""The code that a bundle carries, so that it is answered as it was evaluated: preprocessing, tasks, the contract."""

from __future__ import annotations

import importlib
import shutil
from pathlib import Path

CODE = "code"
_MODULES = (  # each imports numpy, Pillow, tokenizers, the standard library and the others at most
    "ecclip.product_input.preprocessing",
    "ecclip.formats.service",
    "ecclip.tasks.scores",
    "ecclip.tasks.kinds.task",
    "ecclip.tasks.decision",
)
_PACKAGE = '"""Part of ecclip, as the bundle was evaluated with it."""\n'


def ship_code(folder: Path) -> None:
    """Write ``ecclip/`` with the modules that the server imports, and ``tasks/`` with one file per task.

    The packages are whole but empty, so that an ecclip that is installed beside the server is never mixed in.
    """
    from ecclip.tasks.kinds import TASKS

    for name in _MODULES:
        module = importlib.import_module(name)
        path = folder.joinpath(*name.split(".")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(str(module.__file__), path)
        for package in path.relative_to(folder).parents[:-1]:
            (folder / package / "__init__.py").write_text(_PACKAGE)
    (folder / "tasks").mkdir()
    for number, task in enumerate(TASKS):
        source = importlib.import_module(type(task).__module__).__file__
        shutil.copyfile(str(source), folder / "tasks" / f"{number:02d}_{task.name}.py")
