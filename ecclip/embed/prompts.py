"""The labels of a snapshot as prompts, embedded by the frozen start: what it says of a listing without training."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from ecclip.core import settings
from ecclip.formats.embeddings import Prompts, attribute_prompt, category_prompt
from ecclip.formats.snapshot import Listings
from ecclip.model import Towers, encode_texts

_BATCH = 32  # prompts encoded at once; by judgment


def embed_prompts(towers: Towers, snapshot: Path, most: int) -> Prompts | None:
    """Return the prompts of a snapshot's categories and attribute values, the ``most`` frequent ones; None without any.

    Towers of the configuration are pretrained each by itself; those of a start that is taken over were trained together
    (``joint``).
    """
    counts: Counter[str] = Counter()
    for part in Listings(snapshot).batches(["category", "attributes"]):
        counts.update(category_prompt(path) for path in part["category"] if path)
        counts.update(attribute_prompt(*pair) for pairs in part["attributes"] for pair in pairs or ())
    texts = sorted(sorted(counts, key=lambda text: (-counts[text], text))[:most])
    return embed_texts(towers, texts) if texts else None


def embed_texts(towers: Towers, texts: list[str]) -> Prompts:
    """Return texts as these towers embed them, one or more."""
    vectors = encode_texts(towers, towers.preprocessor(), texts, _BATCH, settings().torch_threads, what="outputs")
    dim = towers.cfg.embedding_dim
    return Prompts(texts, vectors[:, :dim], vectors[:, dim:], joint=towers.cfg.start is not None)
