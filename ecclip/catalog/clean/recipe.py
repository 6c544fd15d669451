"""What decides the cleaned form of a photo and of a text: equal recipes give equal results for equal inputs."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import ftfy
import imagehash
import numpy as np

from ecclip.catalog.clean.photo import clean_photo
from ecclip.catalog.clean.photos import PhotoConfig
from ecclip.core import canonical_json, fingerprint, sha256_bytes, write_atomic
from ecclip.formats.snapshot import RECIPES, previous_snapshot
from ecclip.product_input import clean_text, codec_versions, description_text, title_text

_DONE_BY = {"photo": (clean_photo,), "text": (title_text, description_text, clean_text)}
_PHOTO_PARAMETERS = {"image_side", "jpeg_quality", "max_pixels"}


def write_recipes(cfg: PhotoConfig, output: Path) -> None:
    """Write ``recipes.json``: the digest of code, parameters and library versions for photos and for texts."""
    write_atomic(output / RECIPES, canonical_json(recipes(cfg)))


def recipes(cfg: PhotoConfig) -> dict[str, str]:
    """Return the digests of the recipes, of photos and of texts."""
    versions = {
        "photo": [codec_versions(), imagehash.__version__, np.__version__],
        "text": [ftfy.__version__, unicodedata.unidata_version],
    }
    parameters = {"photo": cfg.model_dump(mode="json", include=_PHOTO_PARAMETERS), "text": {}}
    return {
        kind: sha256_bytes(canonical_json([fingerprint(*_DONE_BY[kind]), versions[kind], parameters[kind]]).encode())
        for kind in sorted(_DONE_BY)
    }


def same_recipe(kind: str, cfg: PhotoConfig, snapshot: Path) -> bool:
    """Return whether a snapshot's photos or texts were cleaned as ``cfg`` says, by this code."""
    if previous_snapshot(snapshot) is None:
        return False
    return bool(json.loads((snapshot / RECIPES).read_text())[kind] == recipes(cfg)[kind])
