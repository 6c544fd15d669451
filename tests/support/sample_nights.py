"""A sample shop whose first nights are published with the default configuration; one more dump is not."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
from chain import run_chain

from ecclip.formats.pair_scores import write_pair_scores
from ecclip.sample import SampleConfig, generate

NIGHTS = 3


def run_nights(folder: Path) -> None:
    """Draw the dumps of the shop, with the truth beside them, and publish all but the last one: ``0`` and so on."""
    cfg = SampleConfig.model_validate({"nights": NIGHTS + 1, "listings": 300, "image_size": 96, "processes": 1})
    snapshot: Path | None = None
    for number, dump in enumerate(generate(cfg, folder)[:NIGHTS]):
        # the first night has no champion that could have scored it
        pairs = scores(folder / f"pairs{number}", dump, 3.5) if number else None
        snapshot = run_chain(folder / str(number), dump, previous=snapshot, pairs=pairs)


class Shop:
    """What :func:`run_nights` left."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.dumps = sorted(path for path in (folder / "dumps").iterdir() if path.is_dir())  # locks lie there too

    @property
    def last(self) -> Path:
        """The newest snapshot."""
        return self.folder / str(NIGHTS - 1) / "publish"


def scores(folder: Path, dump: Path, mean: float) -> Path:
    """Write what the champion would say of photo and title of a dump's listings."""
    ids = sorted({row["listing_id"] for row in rows_of(dump) if row.get("listing_id")})
    values = np.random.default_rng(len(ids)).normal(mean, 1.0, len(ids)).astype(np.float32)
    values[:3] = -0.5  # three photos of something else
    write_pair_scores(ids, values, values, folder)
    return folder


def rows_of(dump: Path) -> list[dict[str, Any]]:
    """Return the rows of a dump that are rows at all."""
    return [json.loads(line) for line in lines_of(dump) if line.endswith("}")]


def lines_of(dump: Path) -> list[str]:
    """Return the lines of a dump's listing files."""
    files = [gzip.decompress(path.read_bytes()).decode() for path in sorted(dump.glob("listings*"))]
    return [line for text in files for line in text.split("\n") if line]
