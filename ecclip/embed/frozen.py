"""A night's listings by the frozen start: the towers of the configuration before any training of ours.

Beside the trained towers' embeddings they show what training is worth. The start does not change from night to night,
so that only what is new in a night is encoded, and one by one: what it says of a photo or a title then depends on
nothing else, and is the same to the bit whether it is encoded or found.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from ecclip.core import canonical_json, fingerprint, get_logger, read_manifest, settings
from ecclip.errors import IntegrityError
from ecclip.formats.columns import IMAGE_SHA256
from ecclip.formats.embeddings import Embeddings, Frozen, load_frozen
from ecclip.formats.snapshot import PHOTO, Listings
from ecclip.model import Towers, TowersConfig, build_towers, encode_images, encode_texts

_Vectors = dict[str, np.ndarray]
_T = TypeVar("_T")


def frozen_towers(trained: Path, image_size: int) -> Towers | None:
    """Return the towers that a training started from, before any night; None where the training does not say.

    They see photos of ``image_size`` pixels, as the trained ones do. A start that is taken over has its own size.

    Raises:
        ModelError: a package, file or name of the configuration is missing by now.
    """
    manifest = read_manifest(trained)
    start = None if manifest is None else manifest.config.get("towers")
    if not isinstance(start, Mapping):
        get_logger().warning("the training does not say what it started from", trained=str(trained))
        return None
    cfg = TowersConfig.from_dict(start)
    return build_towers(cfg if cfg.start else replace(cfg, image_size=image_size))


def embed_frozen(towers: Towers, listings: Path, earlier: Iterable[Path] = ()) -> Frozen:
    """Return what frozen towers say of a folder's listings.

    What one of the ``earlier`` embeddings of the same weights, code and machine has is taken from there.
    """
    weights = _identity(towers)
    images, titles = _known(earlier, weights)
    preprocessor, workers = towers.preprocessor(), settings().torch_threads

    def encode_photos(photos: Sequence[bytes]) -> np.ndarray:
        return encode_images(towers, preprocessor, photos, 1, workers, what="outputs")

    def encode_titles(texts: Sequence[str]) -> np.ndarray:
        return encode_texts(towers, preprocessor, texts, 1, workers, what="outputs")

    ids: list[str] = []
    photo_keys: list[str | None] = []
    title_keys: list[str] = []
    for part in Listings(listings).batches(["listing_id", "title", IMAGE_SHA256], photos=True):
        ids += part["listing_id"]
        texts = [title or "" for title in part["title"]]
        photo_keys += part[IMAGE_SHA256]
        title_keys += [_digest(text) for text in texts]
        _add_new(images, dict(zip(part[IMAGE_SHA256], part[PHOTO], strict=True)), encode_photos)
        _add_new(titles, {_digest(text): text for text in texts}, encode_titles)
    dim = towers.cfg.embedding_dim
    nothing = np.full(dim + towers.image_encoder.projection.in_features, np.nan, dtype=np.float32)
    image = np.stack([images.get(key or "", nothing) for key in photo_keys])
    text = np.stack([titles[key] for key in title_keys])
    embeddings = Embeddings(ids, image[:, :dim], text[:, :dim], image[:, dim:], text[:, dim:])
    return Frozen(embeddings, photo_keys, title_keys, weights)


def _add_new(
    known: _Vectors, given: Mapping[str | None, _T | None], encode: Callable[[Sequence[_T]], np.ndarray]
) -> None:
    """Encode what is ``given`` by digest and not known yet."""
    new = {key: value for key, value in given.items() if key is not None and value is not None and key not in known}
    if new:
        known.update(zip(new, encode([*new.values()]), strict=True))


def _known(earlier: Iterable[Path], weights: str) -> tuple[_Vectors, _Vectors]:
    """Return what the last embeddings of the same weights have, by the digest of a photo and of a title."""
    for folder in sorted(earlier, reverse=True):
        found = _readable(folder)
        if found is None or found.weights != weights:
            continue
        image, text = (np.concatenate(part, axis=1) for part in _parts(found.embeddings))
        images = {key: vector for key, vector in zip(found.photos, image, strict=True) if key is not None}
        return images, dict(zip(found.titles, text, strict=True))
    return {}, {}


def _readable(folder: Path) -> Frozen | None:
    """Return what lies there; nothing where it is damaged, since it can be computed anew."""
    try:
        return load_frozen(folder)
    except IntegrityError as error:
        get_logger().warning("what a frozen start said is computed anew", reason=str(error))
        return None


def _parts(found: Embeddings) -> list[list[np.ndarray]]:
    assert found.image_features is not None  # frozen embeddings are written with them
    assert found.text_features is not None
    return [[found.image, found.image_features], [found.text, found.text_features]]


def _identity(towers: Towers) -> str:
    """Return a digest of everything that decides what frozen towers say: configuration, weights, code, machine."""
    machine = [torch.__version__, settings().device]
    made_by = [vars(towers.cfg.portable()), fingerprint(__file__), machine]
    found = hashlib.sha256(canonical_json(made_by).encode())
    for name, tensor in sorted(towers.state_dict().items()):
        found.update(name.encode())
        found.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
