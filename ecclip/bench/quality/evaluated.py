"""Products as the stage evaluate sees listings: what towers give out of them, rows, targets, and what heads answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch

from ecclip.bench.quality.cache import kept
from ecclip.bench.quality.data import Product
from ecclip.model import Preprocessor, Towers, encode_images, encode_texts
from ecclip.tasks import EvaluateConfig, Rows, train_heads
from ecclip.tasks.kinds import Target
from ecclip.tasks.kinds.task import NO_LABEL

MODALITIES = ("image", "text", "both")
_LEAST = 10  # training products per class, as in the probes


def outputs_of(
    folder: Path, towers: Towers, products: Sequence[Product], sizes: Sequence[int]
) -> dict[str, np.ndarray]:
    """Return embedding and features [N, d + w] of the photos by size in pixels (``128``), and of the titles (``text``).

    They are kept in ``folder``.
    """

    def images(size: int) -> dict[str, np.ndarray]:
        return {"image": photo_outputs(towers, [one.image for one in products], size)}

    def texts() -> dict[str, np.ndarray]:
        return {"text": title_outputs(towers, [one.title for one in products])}

    by_size = {f"{size}": kept(folder / f"photos-{size}.npz", partial(images, size))["image"] for size in sizes}
    return by_size | kept(folder / "titles.npz", texts)


def photo_outputs(towers: Towers, photos: Sequence[bytes], size: int) -> np.ndarray:
    """Return embedding and features, float32 [N, d + w], of photos at ``size`` pixels."""
    reading = towers.design.reading
    preprocessor = Preprocessor(size, towers.cfg.max_tokens, towers.tokenizer, reading=reading)
    return encode_images(towers, preprocessor, photos, 16, torch.get_num_threads(), what="outputs")


def title_outputs(towers: Towers, titles: Sequence[str]) -> np.ndarray:
    """Return embedding and features, float32 [N, d + w], of titles."""
    return encode_texts(towers, towers.preprocessor(), titles, 32, torch.get_num_threads(), what="outputs")


def rows_of(
    products: Sequence[Product], outputs: Mapping[str, np.ndarray], size: int, dim: int, split: Sequence[str]
) -> Rows:
    """Return products as rows, for their ``outputs`` at one size of photos; ``dim`` of these are the embedding."""
    image, text = outputs[f"{size}"], outputs["text"]
    return Rows(
        listing_ids=np.array([one.listing_id for one in products], dtype=object),
        titles=[one.title for one in products],
        given={},
        groups=groups_of(products),
        split=np.array(split),
        image=image[:, :dim],
        text=text[:, :dim],
        image_features=image[:, dim:],
        text_features=text[:, dim:],
    )


def right_answers(rows: Rows, target: Target, cfg: EvaluateConfig) -> dict[str, np.ndarray]:
    """Return by split and modality (``test image``) where the heads are right, float64 [N], NaN outside the split."""
    heads = train_heads(rows, [target], cfg).heads
    inputs = rows.inputs(features=heads.read_features)
    found = {}
    for modality in MODALITIES:
        right = (heads.logits(*inputs, modality).argmax(axis=1) == target.y).astype(np.float64)
        for split in ("test", "validation"):
            asked = (rows.split == split) & (target.y >= 0) & rows.has(modality)
            found[f"{split} {modality}"] = np.where(asked, right, np.nan)
    return found


def embedded(towers: Towers, products: Sequence[Product]) -> tuple[np.ndarray, np.ndarray]:
    """Return the embeddings of photos and of titles, float32 [N, d] each, as the towers serve them."""
    preprocessor, workers = towers.preprocessor(), torch.get_num_threads()
    image = encode_images(towers, preprocessor, [one.image for one in products], 16, workers)
    return image, encode_texts(towers, preprocessor, [one.title for one in products], 32, workers)


def groups_of(products: Sequence[Product]) -> np.ndarray:
    """Return the number of each product's group, int64 [N]."""
    return np.unique([one.group for one in products], return_inverse=True)[1]


def target_of(products: Sequence[Product], label: str, rare: int) -> Target:
    """Return the classes with ten train products; ``rare`` is the number of those with fewer, NO_LABEL or OUTSIDE."""
    values = [one.labels.get(label) for one in products]
    counts = Counter(value for value, one in zip(values, products, strict=True) if value and one.split == "train")
    names = sorted(name for name, count in counts.items() if count >= _LEAST)
    number = {name: place for place, name in enumerate(names)}
    y = np.array([number.get(value, rare) if value else NO_LABEL for value in values], dtype=np.int64)
    return Target(label, label, "softmax", names, y)
