"""Extract a night: the shop's export becomes the night's dump, copied where it keeps the contract, else mapped."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from aiohttp import ClientError
from tenacity import (
    Retrying,
    retry_if_exception_type,
    retry_if_not_exception_type,
    stop_after_attempt,
    wait_exponential,
)

from ecclip.catalog.dump.listing_files import format_of
from ecclip.catalog.mapping.map_dump import map_dump
from ecclip.catalog.mapping.model import Mapping
from ecclip.catalog.source.inventory import MARKERS, Entry, declared_mapping, entries_of, require_ready
from ecclip.catalog.source.location import SourceConfig, is_local, locate, open_source
from ecclip.core import ContractError, Counts, NotReadyError, stage

_UNREADABLE = (OSError, ValueError, ClientError)
_GONE = (FileNotFoundError, PermissionError, IsADirectoryError)


@stage
def extract(cfg: SourceConfig, inventory: Path, output: Path) -> Counts:
    """Bring the export of the night that ``inventory`` was taken of into ``output``, in the form of the dump contract.

    A photo that is not a regular file, leads out of the export or cannot be read is left out and counted by reason.

    Raises:
        NotReadyError: the export is not finished, changed while it was read, or too much of it cannot be read.
        ConfigError: the source or its mapping is configured wrongly.
        ContractError: the export cannot be mapped, or a listing file leads out of it or is not a regular file.
    """
    night = str(json.loads(inventory.read_text())["night"])
    url, mapping = locate(cfg, night), declared_mapping(cfg)
    require_ready(cfg, url, night)
    before = list(entries_of(cfg, url, mapping))
    counts = _mapped(cfg, mapping, url, output, night) if mapping else _copied(cfg, url, before, output)
    if list(entries_of(cfg, url, mapping)) != before:
        raise NotReadyError(
            "the export changed while it was read",
            value=url,
            next_step="let the export write its marker last, and run again when it is there",
        )
    return counts


def _mapped(cfg: SourceConfig, mapping: Mapping, url: str, output: Path, night: str) -> Counts:
    work = output / ".mapping"  # names in a mapped dump never begin with a dot
    counts = map_dump(mapping, url, work / "dump", night, spark_bytes=cfg.spark_bytes)
    for path in sorted((work / "dump").iterdir()):
        if path.name not in MARKERS:
            path.rename(output / path.name)
    shutil.rmtree(work)
    return counts


def _copied(cfg: SourceConfig, url: str, entries: list[Entry], output: Path) -> Counts:
    system, _ = open_source(url)
    dropped = Counter(entry.refused for entry in entries if entry.refused)
    wanted = [entry for entry in entries if not entry.refused]
    for entry in entries:
        if entry.refused and _holds_listings(entry.name):
            what = "is a link out of the dump" if entry.refused == "outside_dump" else "is not a regular file"
            raise ContractError(
                f"a listing file {what}",
                value=entry.name,
                limit=entry.refused,
                next_step="put the file itself into the export",
            )
    for folder in {(output / entry.name).parent for entry in wanted}:
        folder.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(cfg.transfer.threads) as pool:
        done = list(pool.map(lambda entry: _copy(cfg, system, entry, output / entry.name), wanted))
    dropped["unreadable"] += done.count(False)
    if dropped["unreadable"] > cfg.transfer.max_unreadable_share * len(entries):
        raise NotReadyError(
            "too many files of the export cannot be read",
            value=f"{dropped['unreadable']} of {len(entries)}",
            limit=f"source.transfer.max_unreadable_share {cfg.transfer.max_unreadable_share:g}",
            next_step=f"check {url}, and run again",
        )
    return Counts(
        read={"files": len(entries)},
        written={
            "files": done.count(True),
            "bytes": sum(
                (output / entry.name).stat().st_size for entry, good in zip(wanted, done, strict=True) if good
            ),
        },
        dropped={reason: count for reason, count in sorted(dropped.items()) if count},
    )


def _copy(cfg: SourceConfig, system: Any, entry: Entry, target: Path) -> bool:
    """Copy one file; return False for a photo that cannot be read. An unreadable listing file fails the night.

    Raises:
        NotReadyError: a listing file cannot be read.
    """
    get: Callable[[str, str], Any] = shutil.copyfile if is_local(system) else system.get_file
    tries = Retrying(
        stop=stop_after_attempt(cfg.transfer.attempts),
        wait=wait_exponential(0.2, max=5),
        retry=retry_if_exception_type(_UNREADABLE) & retry_if_not_exception_type(_GONE),
        reraise=True,
    )
    try:
        tries(get, entry.path, str(target))
    except _UNREADABLE as error:
        target.unlink(missing_ok=True)
        if _holds_listings(entry.name):
            raise NotReadyError(
                "a listing file of the export cannot be read",
                value=entry.name,
                limit=f"{type(error).__name__}: {error}",
                next_step="run again when it can be",
            ) from error
        return False
    return True


def _holds_listings(name: str) -> bool:
    return name.startswith("listings") and "/" not in name and format_of(Path(name)) is not None
