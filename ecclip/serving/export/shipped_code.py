"""The code in a bundle, so that it answers as it was evaluated: product input, tasks, the service contract."""

from __future__ import annotations

import importlib
import importlib.metadata
import shutil
import zipfile
from pathlib import Path

from ecclip import product_input
from ecclip.core import ConfigError

LIBRARIES = "libraries.zip"
_MODULES = (  # these import at most numpy, Pillow, tokenizers, the standard library and each other
    "ecclip.formats.service",
    "ecclip.tasks.scores",
    "ecclip.tasks.kinds.task",
    "ecclip.tasks.decision",
)
_PACKAGE = '"""Part of ecclip, as the bundle was evaluated with it."""\n'
# pure Python libraries that clean titles; the compiled ones (numpy, Pillow, tokenizers) are installed on the server
_PURE = ("ftfy", "wcwidth")
_TIME = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip file can hold: equal libraries give equal bytes


def ship_code(folder: Path) -> None:
    """Write ``ecclip/`` with the modules that the server imports, ``tasks/`` with one file per task, ``libraries.zip``.

    The packages' ``__init__`` are empty, except that of ``product_input``, so that an installed ecclip is never mixed
    in. The libraries are part of the bundle, so that each version on a server reads titles as in its training.
    """
    from ecclip.tasks.kinds import TASKS

    own = Path(str(product_input.__file__)).parent
    shutil.copytree(own, folder / "ecclip" / own.name, ignore=shutil.ignore_patterns("__pycache__"))
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
    _write_libraries(folder / LIBRARIES)


def _write_libraries(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in _PURE:
            for file in sorted(_files(name), key=str):
                data = Path(str(file.locate())).read_bytes()
                archive.writestr(zipfile.ZipInfo(file.as_posix(), _TIME), data, zipfile.ZIP_DEFLATED)


def _files(name: str) -> list[importlib.metadata.PackagePath]:
    try:
        files = importlib.metadata.distribution(name).files or []
    except importlib.metadata.PackageNotFoundError as error:
        raise ConfigError("a library that cleans titles is missing", value=name, next_step="make setup") from error
    return [file for file in files if file.suffix == ".py" or file.name.lower().startswith("licen")]
