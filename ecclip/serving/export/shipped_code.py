"""The code in a bundle, so that it answers as it was evaluated: product input, tasks, the service contract."""

from __future__ import annotations

import importlib
import importlib.metadata
import shutil
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import ecclip
from ecclip.core import ConfigError, source_files
from ecclip.formats.bundle import FLAVOUR, LIBRARIES

# what the entry model imports from a bundle; what these and the tasks need follows from their imports
_ENTRIES = ("ecclip.formats.service", "ecclip.serving.answering.listings")
# what answers with a bundle without a server: MLflow's flavour, and the process that answers a catalog
_OFFLINE = ("ecclip.serving.answering.pyfunc", "ecclip.serving.answering.worker")
_WHOLE = "product_input"  # a package that is copied as it is, its door too
_PACKAGE = '"""Part of ecclip, as the bundle was evaluated with it."""\n'
_FLAVOUR = f'''"""MLflow's flavour of this bundle."""

from {_OFFLINE[0]} import _load_pyfunc  # noqa: F401 - MLflow calls it
'''
# pure Python libraries that clean titles; the compiled ones (numpy, Pillow, tokenizers) are installed on the server
_PURE = ("ftfy", "wcwidth")
_TIME = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip file can hold: equal libraries give equal bytes


def ship_code(folder: Path) -> None:
    """Write ``ecclip/`` with the modules that are reached, ``tasks/`` with one file per task, ``libraries.zip``, and
    MLflow's loader.

    The packages' ``__init__`` are empty, except that of ``product_input``, so that an installed ecclip is never mixed
    in. The libraries are part of the bundle, so that each version on a server reads titles as in its training.
    """
    package = Path(ecclip.__file__).parent
    shutil.copytree(package / _WHOLE, folder / "ecclip" / _WHOLE, ignore=shutil.ignore_patterns("__pycache__"))
    tasks = _task_files()
    for module in sorted({*_modules_of(tasks.values())}):
        path = folder / "ecclip" / module.relative_to(package)
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(module, path)
        for above in path.relative_to(folder).parents[:-1]:
            (folder / above / "__init__.py").write_text(_PACKAGE)
    (folder / f"{FLAVOUR}.py").write_text(_FLAVOUR)
    (folder / "tasks").mkdir()
    for number, (name, path) in enumerate(tasks.items()):
        shutil.copyfile(path, folder / "tasks" / f"{number:02d}_{name}.py")
    _write_libraries(folder / LIBRARIES)


def _task_files() -> dict[str, Path]:
    from ecclip.tasks.kinds import TASKS

    return {task.name: Path(str(importlib.import_module(type(task).__module__).__file__)) for task in TASKS}


def _modules_of(tasks: Iterable[Path]) -> Iterator[Path]:
    """Yield the modules that the entries and the tasks reach, those that are copied otherwise left out."""
    package = Path(ecclip.__file__).parent
    reached = {path for entry in (*_ENTRIES, *_OFFLINE) for path in source_files(entry)}
    for task in tasks:
        reached |= {*source_files(task)} - {task}
    for path in reached:
        whole = path.is_relative_to(package / _WHOLE) or not path.is_relative_to(package)
        if path.suffix == ".py" and path.name != "__init__.py" and not whole:
            yield path


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
