"""Photos of which only the border is left: whether a class is told by the background of its photos alone.

A model that is told bottles by their white studios fails where other goods are photographed alike (shortcut learning,
Geirhos and others, Nature Machine Intelligence 2020). What the photo's head says of the border alone shows how much of
that there is (Xiao, Engstrom, Ilyas and Madry, Noise or Signal, ICLR 2021, do so by segmentation).
"""

from __future__ import annotations

import io
from collections.abc import Collection
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from ecclip.core import settings
from ecclip.formats.columns import IMAGE_SHA256, SPLIT
from ecclip.formats.embeddings import Embeddings, write_borders
from ecclip.formats.policies.age import AgePolicy
from ecclip.formats.sampling import smallest_hashes
from ecclip.formats.snapshot import PHOTO, Snapshot
from ecclip.model import Preprocessor, Towers, encode_images

_EACH = 200  # test photos looked at that are of a class, and as many others; by judgment: seconds of one core
_BORDER = 0.12  # of a photo's sides on each side: products reach further in, backgrounds do not; by judgment
_QUALITY = 95  # of the JPEG that the towers read; by judgment
_COARSE = 64  # least side at which light is measured, pixels; by judgment
_BATCH = 16  # photos encoded at once; by judgment
_COLUMNS = ["listing_id", "age_restricted", "attributes", "category", IMAGE_SHA256]


def embed_borders(towers: Towers, preprocessor: Preprocessor, snapshot: Path, policy: AgePolicy, output: Path) -> int:
    """Write what towers say of the borders of some test photos; return how many there are.

    They are at most 200 of listings that the policy or the flag says to be restricted and 200 of others.
    """
    listings = Snapshot(snapshot)
    wanted = (pc.field(SPLIT) == "test") & pc.field(IMAGE_SHA256).is_valid()
    digests = _sample(listings.table(_COLUMNS, wanted).sort_by("listing_id"), policy)
    photos = dict(listings.photos(digests.values()))
    ids = sorted(name for name, digest in digests.items() if digest in photos)
    if not ids:
        return 0
    cut = [border_alone(photos[digests[name]]) for name in ids]
    found = encode_images(towers, preprocessor, cut, _BATCH, settings().torch_threads, what="outputs")
    dim = towers.cfg.embedding_dim
    nothing = np.zeros((len(ids), 1), np.float32)
    write_borders(Embeddings(ids, found[:, :dim], nothing, found[:, dim:], nothing), output)
    return len(ids)


def measure_backgrounds(snapshot: Path, listing_ids: Collection[str]) -> dict[str, tuple[float, float]]:
    """Return by listing the mean and the standard deviation of the light of its photo's border, 0 to 255.

    ``listing_ids`` are those whose photos can be decoded.
    """
    found = {}
    for part in Snapshot(snapshot).batches(["listing_id"], photos=True):
        photos = zip(part["listing_id"], part[PHOTO], strict=True)
        found.update({name: border_light(photo) for name, photo in photos if name in listing_ids})
    return found


def border_light(photo: bytes) -> tuple[float, float]:
    """Return the mean and the standard deviation of the light of a JPEG's border, 0 to 255, looked at coarsely."""
    with Image.open(io.BytesIO(photo), formats=("JPEG",)) as image:
        image.draft("L", (_COARSE, _COARSE))  # decoded at a half, a quarter or an eighth: a fraction of the time
        light = np.asarray(image.convert("L"), dtype=np.float64)
    border = light[border_of(*light.shape)]
    return float(border.mean()), float(border.std())


def border_alone(photo: bytes) -> bytes:
    """Return a canonical JPEG as it is but for its middle, which has the mean colour of the border."""
    with Image.open(io.BytesIO(photo), formats=("JPEG",)) as image:
        pixels = np.asarray(image.convert("RGB")).copy()
    outside = border_of(*pixels.shape[:2])
    pixels[~outside] = np.round(pixels[outside].mean(axis=0)).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=_QUALITY)
    return buffer.getvalue()


def border_of(height: int, width: int) -> np.ndarray:
    """Return bool [height, width]: the pixels of a photo that are its border."""
    rows, columns = max(1, round(height * _BORDER)), max(1, round(width * _BORDER))
    outside = np.ones((height, width), dtype=bool)
    outside[rows : height - rows, columns : width - columns] = False
    return outside


def _sample(rows: pa.Table, policy: AgePolicy) -> dict[str, str]:
    """Return the digest of the photo of each listing drawn, by its id."""
    given = rows.to_pydict()
    labels = [policy.labels(one, given) for one in policy.classes]
    flags = [*labels, given["age_restricted"]]
    restricted = np.array([any(known) for known in zip(*flags, strict=True)], dtype=bool)
    drawn: dict[str, str] = {}
    for part in (np.flatnonzero(restricted), np.flatnonzero(~restricted)):
        chosen = part[smallest_hashes([given["listing_id"][place] for place in part], _EACH)]
        drawn |= {given["listing_id"][place]: given[IMAGE_SHA256][place] for place in chosen}
    return drawn
