"""One stage, three callers: a plain function that reads folders and publishes one."""

from __future__ import annotations

import functools
import inspect
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Literal, ParamSpec

from pydantic import BaseModel, ConfigDict

import ecclip
from ecclip.atomic import (
    MANIFEST,
    canonical_json,
    recover_folder,
    replace_folder,
    sha256_bytes,
    write_atomic,
)
from ecclip.core.configuration import in_workspace
from ecclip.core.fingerprint import fingerprint
from ecclip.core.locks import folder_lock
from ecclip.core.log import get_logger
from ecclip.core.manifests import Manifest, digest_of, list_files, read_manifest

P = ParamSpec("P")
_ONCE_PUBLISHED: ContextVar[list[Path]] = ContextVar("folders to remove once the running stage is published")


class StageConfig(BaseModel):
    """Base of every stage's configuration: frozen, and an unknown name is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Counts(BaseModel):
    """What a stage returns: rows read, written and dropped (by reason), and facts worth keeping.

    It is part of the manifest and so of the digest: no times, no paths of the machine.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    read: dict[str, int] = {}
    written: dict[str, int] = {}
    dropped: dict[str, int] = {}
    detail: dict[str, Any] = {}


class Report(BaseModel):
    """The result of a stage as its caller gets it."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    stage: str
    outcome: Literal["written", "unchanged"]
    output: str
    digest: str
    read: dict[str, int]
    written: dict[str, int]
    dropped: dict[str, int]
    detail: dict[str, Any]
    seconds: float


def stage(function: Callable[P, Counts]) -> Callable[P, Report]:
    """Make a stage of ``function(cfg, <input paths>..., output) -> Counts``.

    The wrapped function writes into a temporary folder next to ``output``. It is published (manifest last, rename)
    only when the function returns. A second run with equal configuration, inputs and code is "unchanged". Two
    runs at once are serialised by a lock that dies with its process.

    Every parameter of the function but ``cfg`` and ``output`` is an input path: a file, a published folder or a
    plain folder.
    """
    signature = inspect.signature(function)
    name = function.__name__

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> Report:
        bound = signature.bind(*args, **kwargs)
        output = Path(bound.arguments["output"])
        started = time.monotonic()
        with folder_lock(output):
            _recover(output)
            inputs = {k: digest_of(Path(v)) for k, v in bound.arguments.items() if k not in ("cfg", "output")}
            config = bound.arguments["cfg"].model_dump(mode="json")
            key = _key(name, config, inputs, function)
            manifest = read_manifest(output)
            if manifest is not None and manifest.key == key and _sizes_match(output, manifest):
                return _report(manifest, output, "unchanged", started)
            temporary = output.with_name(f".{output.name}.tmp-{os.getpid()}")
            temporary.mkdir()
            bound.arguments["output"] = temporary
            with _progress_kept() as progress:
                counts = function(*bound.args, **bound.kwargs)
            manifest = Manifest(
                stage=name, key=key, config=config, inputs=inputs, files=list_files(temporary), **counts.model_dump()
            )
            write_atomic(temporary / MANIFEST, canonical_json(manifest.model_dump()))
            replace_folder(temporary, output)
            for folder in progress:
                shutil.rmtree(folder, ignore_errors=True)
            return _report(manifest, output, "written", started)

    return run


@contextmanager
def _progress_kept() -> Iterator[list[Path]]:
    folders: list[Path] = []
    token = _ONCE_PUBLISHED.set(folders)
    try:
        yield folders
    finally:
        _ONCE_PUBLISHED.reset(token)


def forget_once_published(folder: Path) -> None:
    """Remove a stage's progress (checkpoints, fetched photos) once its output is published, and no earlier: a killed
    run continues from it. Called inside a stage only.
    """
    _ONCE_PUBLISHED.get().append(folder)


def report_of(output: Path) -> Report | None:
    """Return the report of what lies in a stage's output, as of a run that found nothing to do; None: nothing does."""
    manifest = read_manifest(output)
    return None if manifest is None else _report(manifest, output, "unchanged", time.monotonic())


def _key(name: str, config: dict[str, Any], inputs: dict[str, str], function: Callable[..., Any]) -> str:
    payload = {"stage": name, "version": ecclip.__version__, "config": config, "inputs": inputs}
    return sha256_bytes(canonical_json(payload | {"code": fingerprint(function)}).encode())


def _sizes_match(folder: Path, manifest: Manifest) -> bool:
    return all(
        (folder / name).is_file() and (folder / name).stat().st_size == entry.bytes
        for name, entry in manifest.files.items()
    )


def _report(manifest: Manifest, output: Path, outcome: Literal["written", "unchanged"], started: float) -> Report:
    report = Report(
        stage=manifest.stage,
        outcome=outcome,
        output=in_workspace(output),
        digest=digest_of(output),
        seconds=round(time.monotonic() - started, 3),
        **manifest.model_dump(include={"read", "written", "dropped", "detail"}),
    )
    get_logger().info("stage finished", **report.model_dump(exclude={"detail"}))
    return report


def _recover(output: Path) -> None:
    """Clean up after a killed run; the lock is held, so there is no other writer."""
    for leftover in recover_folder(output):
        get_logger().warning("a killed run left something behind", path=str(leftover))
