"""Some listings of a snapshot by any towers, for a comparison of models."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from ecclip.core import ContractError, settings
from ecclip.formats.columns import IMAGE_SHA256
from ecclip.formats.snapshot import Snapshot
from ecclip.model import encode_images, encode_texts, load_preprocessor, load_towers
from ecclip.train import deterministic


def embed_listings(
    snapshot: Path, towers: Path, listing_ids: Sequence[str], *, features: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return what heads read of some listings: of the photos float32 [n, i], NaN without one, of the titles [n, t].

    With ``features`` the towers' own features stand behind the embeddings.

    Raises:
        ContractError: the snapshot does not have one of the listings.
        ModelError: the towers cannot be read.
    """
    listings = Snapshot(snapshot)
    asked = pc.field("listing_id").isin(pa.array(listing_ids, pa.string()))
    found = {row["listing_id"]: row for row in listings.table(["listing_id", "title", IMAGE_SHA256], asked).to_pylist()}
    if missing := sorted({*listing_ids} - {*found}):
        raise ContractError(
            "the snapshot does not have a listing", value=missing[0], limit=snapshot, next_step="run its stages again"
        )
    rows = [found[name] for name in listing_ids]
    photos = dict(listings.photos({row[IMAGE_SHA256] for row in rows if row[IMAGE_SHA256]}))
    device, workers = torch.device(settings().device), settings().torch_threads
    what: Literal["embedding", "outputs"] = "outputs" if features else "embedding"
    with deterministic(workers, device):
        loaded, preprocessor = load_towers(towers).to(device), load_preprocessor(towers)
        images, titles = [photos.get(row[IMAGE_SHA256]) for row in rows], [row["title"] or "" for row in rows]
        image = encode_images(loaded, preprocessor, images, 16, workers, what=what)
        return image, encode_texts(loaded, preprocessor, titles, 32, workers, what=what)
