"""Land the photos of some addresses, each that of one listing, and see what became of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from dumps import write_dump

from ecclip.catalog.land.stage import LandConfig, land
from ecclip.core import Report


def dump_of(folder: Path, uris: list[str]) -> Path:
    """Write a dump whose listings name these photos."""
    rows = [{"listing_id": f"l{n}", "title": "Mug", "image_uri": uri} for n, uri in enumerate(uris)]
    return write_dump(folder, rows)


def land_uris(folder: Path, uris: list[str], night: str = "1", previous: str = "none", **fetch: Any) -> Report:
    """Land photos below ``folder`` as a night; ``fetch`` are options of ``land.fetch``."""
    (folder / "none").mkdir(exist_ok=True)
    options = {"allow_private_networks": True, "backoff_s": 0.01, **fetch}
    dump = dump_of(folder / f"dump-{night}", uris)
    report = land(LandConfig.model_validate({"fetch": options}), dump, folder / previous, folder / night)
    assert report.read["photos"] == report.written["photos"] + sum(report.dropped.values())
    assert list(folder.glob(".*.fetched")) == []
    return report


def reasons(folder: Path) -> dict[str, str | None]:
    """Return by address why a landed night has no photo; None: it has one."""
    return {row["image_uri"]: row["error"] for row in pq.read_table(folder / "photos.parquet").to_pylist()}


def photos(folder: Path) -> dict[str, bytes]:
    """Return the photos of a landed night by address."""
    found = {}
    for path in (folder / "images").iterdir():
        for row in pq.read_table(path).to_pylist():
            found[path.name, row["image_uri"]] = row["image"]
    places = pq.read_table(folder / "photos.parquet").to_pylist()
    return {row["image_uri"]: found[row["part"], row["image_uri"]] for row in places if row["part"]}
