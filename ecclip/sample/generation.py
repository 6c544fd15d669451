"""Write the nights: draw what is new, link what is not, the dump's ``_SUCCESS`` last."""

from __future__ import annotations

import gzip
import io
import multiprocessing
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ecclip.core import (
    ConfigError,
    canonical_json,
    fingerprint,
    folder_lock,
    fsync_path,
    get_logger,
    recover_folder,
    replace_folder,
    sha256_bytes,
    track,
    write_atomic,
)
from ecclip.sample.config import SampleConfig
from ecclip.sample.photo import Photo, encoded, photo_of
from ecclip.sample.rows import TRUTH_SCHEMA, Line, lines_of
from ecclip.sample.world import Listing, World

DIGEST = "sample.json"
ROWS_PER_FILE = 5000  # so that a night has several files
_FEW = 200  # below this, starting processes costs more than drawing
_CHUNK = 24  # photos handed to a process at once


def generate(cfg: SampleConfig, output: Path) -> list[Path]:
    """Write ``output/dumps/<night>/`` and ``output/truth/<night>/truth.parquet`` for every configured night.

    A dump is in the form of Dump v1: ``listings-0000.jsonl.gz``, photos below ``images/``, ``_SUCCESS``. The bytes
    depend on the configuration and this code alone, not on the number of processes. A night that is already there
    with the same configuration is kept as it is.

    Returns:
        The dump folders, oldest first.

    Raises:
        ConfigError: a dump of something else lies where a night would be written.
    """
    world = World(cfg)
    folders: list[Path] = []
    listings: list[Listing] = []
    for night in world.nights():
        listings = world.after(listings, night) if listings else world.listings(0, cfg.listings, 0, night)
        dump = output / "dumps" / night
        digest = _digest(cfg, night)
        if _is_written(dump, output / "truth" / night, digest):
            get_logger().info("sample night unchanged", night=night, listings=len(listings))
        else:
            _write_night(world, listings, night, output, folders[-1] if folders else None, digest)
        folders.append(dump)
    return folders


def _digest(cfg: SampleConfig, night: str) -> str:
    """Return what a night depends on: its configuration and this room's code, not how many nights or processes."""
    code = fingerprint(__file__)
    config = cfg.model_dump(mode="json", exclude={"nights", "processes"})
    key = sha256_bytes(canonical_json({"night": night, "config": config, "code": code}).encode())
    return canonical_json({"schema": "ecclip.sample/1", "night": night, "key": key})


def _is_written(dump: Path, truth: Path, digest: str) -> bool:
    if not dump.exists():
        return False
    if not (dump / DIGEST).is_file():
        raise ConfigError(
            "a dump that is not a sample lies where the sample would be written",
            value=dump,
            next_step="choose another output folder or first_night",
        )
    same = (dump / DIGEST).read_text() == digest
    return same and (dump / "_SUCCESS").is_file() and (truth / "truth.parquet").is_file()


def _write_night(
    world: World, listings: list[Listing], night: str, output: Path, previous: Path | None, digest: str
) -> None:
    dump, truth = output / "dumps" / night, output / "truth" / night
    with folder_lock(dump):
        recover_folder(dump)
        temporary = dump.with_name(f".{night}.tmp-{os.getpid()}")
        (temporary / "images").mkdir(parents=True)
        try:
            known = _known(output / "truth" / previous.name) if previous is not None else {}
            photos = _photos(world, listings, temporary, previous, known, night)
            lines = lines_of(world, listings, photos, night)
            _write_lines(lines, temporary)
            write_atomic(temporary / DIGEST, digest)
            write_atomic(temporary / "_SUCCESS", "")
            _write_truth(lines, truth)
            replace_folder(temporary, dump)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    get_logger().info("sample night written", night=night, lines=len(lines), photos=len(photos))


def _photos(
    world: World, listings: list[Listing], folder: Path, previous: Path | None, known: dict[str, str], night: str
) -> dict[int, tuple[str, str]]:
    """Bring every photo into ``folder``; return photo key and path relative to the dump by listing number."""
    wanted = {listing.number: photo_of(world, listing) for listing in listings}
    paths: dict[str, str] = {}
    new: dict[str, Photo] = {}
    for photo in wanted.values():
        if photo is None or photo.key in paths or photo.key in new:
            continue
        path = known.get(photo.key)
        if previous is not None and path is not None and (previous / path).is_file():
            _link(previous / path, folder / path)
            paths[photo.key] = path
        else:
            new[photo.key] = photo
    ordered = sorted(new.values(), key=lambda photo: (photo.appearance.key, photo.key))
    chunks = [ordered[start : start + _CHUNK] for start in range(0, len(ordered), _CHUNK)]
    for drawn in track(_drawn(chunks, folder, world.cfg.processes), f"photos of {night}", len(chunks)):
        paths.update(drawn)
    found = {number: (photo.key, paths[photo.key]) for number, photo in wanted.items() if photo is not None}
    for listing in listings:
        if "missing_photo" in listing.faults:
            name = sha256_bytes(f"{world.cfg.seed}/{listing.id}".encode())
            found[listing.number] = ("", f"images/{name[:2]}/{name}.jpg")
    return found


def _drawn(chunks: list[list[Photo]], folder: Path, processes: int) -> Iterator[dict[str, str]]:
    if processes == 1 or sum(len(chunk) for chunk in chunks) < _FEW:
        yield from (_draw(chunk, folder) for chunk in chunks)
        return
    # a fresh interpreter per worker: the caller may hold threads and locks that must not be forked
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(_draw, chunks, [folder] * len(chunks))


def _draw(photos: list[Photo], folder: Path) -> dict[str, str]:
    """Draw photos into files named by their content; return the path of each by its key."""
    paths: dict[str, str] = {}
    for photo in photos:
        data, suffix = encoded(photo)
        name = sha256_bytes(data)
        path = f"images/{name[:2]}/{name}.{suffix}"
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_bytes(data)
        paths[photo.key] = path
    return paths


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(exist_ok=True)
    if target.exists():
        return
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _known(truth: Path) -> dict[str, str]:
    """Return the photos of the night before: path by key."""
    table = pq.read_table(truth / "truth.parquet", columns=["photo_key", "image_uri"])
    return {row["photo_key"]: row["image_uri"] for row in table.to_pylist() if row["photo_key"]}


def _write_lines(lines: list[Line], folder: Path) -> None:
    for part, start in enumerate(range(0, len(lines), ROWS_PER_FILE)):
        buffer = io.BytesIO()
        with gzip.GzipFile(filename="", mode="wb", fileobj=buffer, compresslevel=6, mtime=0) as file:
            file.writelines(f"{line.text}\n".encode() for line in lines[start : start + ROWS_PER_FILE])
        (folder / f"listings-{part:04d}.jsonl.gz").write_bytes(buffer.getvalue())


def _write_truth(lines: list[Line], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f".truth.tmp-{os.getpid()}"
    pq.write_table(pa.Table.from_pylist([line.truth for line in lines], schema=TRUTH_SCHEMA), temporary)
    fsync_path(temporary)
    temporary.replace(folder / "truth.parquet")
