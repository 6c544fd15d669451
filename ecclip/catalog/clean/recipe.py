"""What decides the cleaned form of a photo and of a text: equal recipes give equal results for equal inputs."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import ftfy
import imagehash
import numpy as np

from ecclip.catalog.clean.photo import clean_photo
from ecclip.catalog.clean.photos import PhotoConfig
from ecclip.core import canonical_json, fingerprint, sha256_bytes
from ecclip.formats.snapshot import Recipes, previous_snapshot
from ecclip.product_input import clean_text, codec_versions, description_text, title_text

_DONE_BY = {"photo": (clean_photo,), "text": (title_text, description_text, clean_text)}
_PHOTO_PARAMETERS = {"image_side", "jpeg_quality", "max_pixels"}


def recipes(cfg: PhotoConfig) -> Recipes:
    """Return the digests of code, parameters and library versions for photos and for texts."""
    versions = {
        "photo": [codec_versions(), imagehash.__version__, np.__version__],
        "text": [ftfy.__version__, unicodedata.unidata_version],
    }
    parameters = {"photo": cfg.model_dump(mode="json", include=_PHOTO_PARAMETERS), "text": {}}
    return Recipes(
        **{
            kind: sha256_bytes(canonical_json([fingerprint(*done_by), versions[kind], parameters[kind]]).encode())
            for kind, done_by in _DONE_BY.items()
        }
    )


def equal_recipes(cfg: PhotoConfig, snapshot: Path) -> tuple[bool, bool]:
    """Return whether a snapshot's photos, and its texts, were cleaned as ``cfg`` says, by this code."""
    before = previous_snapshot(snapshot)
    theirs, ours = None if before is None else before.recipes(), recipes(cfg)
    return (False, False) if theirs is None else (theirs.photo == ours.photo, theirs.text == ours.text)
