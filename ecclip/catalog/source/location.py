"""Where a shop's export is, a folder or any fsspec prefix, and whether its marker says that it is finished."""

from __future__ import annotations

import posixpath
from datetime import date
from string import Formatter
from typing import Any

import fsspec
from pydantic import Field, field_validator

from ecclip.core import ConfigError, StageConfig, parse_night, settings

_ANY_NIGHT = date(2026, 11, 1)  # to try a pattern


class WaitConfig(StageConfig):
    """How long the nightly DAG waits for an export, and how often it polls, in the terms of Airflow's sensors."""

    timeout_s: float = Field(
        21600.0,
        ge=0,
        description="longest wait for the export, seconds; by judgment: a quarter of a day",
    )
    poke_interval_s: float = Field(
        60.0, gt=0, description="pause between two polls, seconds; the default of Airflow's sensors"
    )


class TransferConfig(StageConfig):
    """How the files of an export are copied."""

    threads: int = Field(8, ge=1, description="files copied at once; by judgment: the threads wait for the network")
    attempts: int = Field(4, ge=1, description="attempts at a file that cannot be read; by judgment")
    max_unreadable_share: float = Field(
        0.1, ge=0, le=1, description="the run stops above this share of unreadable files; by judgment"
    )


class SourceConfig(StageConfig):
    """Where the night's dump comes from.

    None of this is part of the stage's key, so that a moved folder gives the same night; the inventory (names,
    contents, the mapping's text) is.
    """

    where: str = Field(
        "work/dumps/{night}",
        exclude=True,
        description="folder or file of a night's export: a path (of the workspace) or any fsspec URL; {night} is the "
        "ISO date, {night:%Y%m%d} another spelling of it",
    )
    mapping: str | None = Field(
        None, exclude=True, description="mapping.yaml, or the name of a shipped one; None: a dump by the contract"
    )
    markers: list[str] = Field(
        ["_SUCCESS", "manifest.json"],
        exclude=True,
        description="files of which the export writes one last; an empty list: what is there is finished",
    )
    wait: WaitConfig = Field(WaitConfig(), exclude=True, description="how the nightly DAG waits for the export")
    transfer: TransferConfig = Field(TransferConfig(), exclude=True, description="how the files are copied")
    spark_bytes: int = Field(
        256 << 20,
        ge=0,
        exclude=True,
        description="a foreign export of several files is mapped by Spark from this many bytes on; by judgment: two "
        "splits of `ingest.split_bytes`",
    )

    @field_validator("where")
    @classmethod
    def _names_the_night(cls, where: str) -> str:
        fields = [name for _, name, _, _ in Formatter().parse(where) if name is not None]
        if not fields or set(fields) != {"night"}:
            raise ValueError(f"needs {{night}} in it, and nothing else in braces: {where}")
        where.format(night=_ANY_NIGHT)
        return where

    @field_validator("markers")
    @classmethod
    def _are_names(cls, markers: list[str]) -> list[str]:
        for name in markers:
            if not name or "/" in name or name in (".", ".."):
                raise ValueError(f"a marker is the name of a file in the export's folder: {name!r}")
        return markers


def locate(cfg: SourceConfig, night: str) -> str:
    """Return the path or URL of a night's export; a relative path is one of the workspace."""
    found = cfg.where.format(night=date.fromisoformat(parse_night(night)))
    return found if "://" in found or "::" in found else str(settings().workspace.resolve() / found)


def why_not_ready(url: str, markers: list[str]) -> str:
    """Return what is missing of an export, or an empty text if it is finished. Nothing is cached.

    Raises:
        ConfigError: no file system is installed for the URL.
        OSError: the file system does not answer.
    """
    system, root = open_source(url)
    system.invalidate_cache()
    if not system.exists(root):
        return "nothing is there"
    folder = root if system.isdir(root) else posixpath.dirname(root)
    if markers and not any(system.exists(f"{folder.rstrip('/')}/{name}") for name in markers):
        return f"it is not finished: no {' or '.join(markers)} is there"
    return ""


def open_source(url: str) -> tuple[Any, str]:
    """Return the file system of a URL and the path in it.

    Raises:
        ConfigError: the scheme is unknown, or its package is not installed.
    """
    try:
        system, root = fsspec.core.url_to_fs(url)
    except (ValueError, ImportError) as error:
        raise ConfigError(
            "the source cannot be reached", value=url, limit=str(error), next_step="edit source.where in params.yaml"
        ) from error
    return system, str(root).rstrip("/") or "/"


def is_local(system: Any) -> bool:
    """Return whether a file system is this machine's own."""
    names = system.protocol if isinstance(system.protocol, tuple) else (system.protocol,)
    return "file" in names or "local" in names
