"""Embeddings of a test's snapshot that know a little of it: no towers are run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from ecclip.core import digest_of
from ecclip.formats.embeddings import Embeddings, Frozen, Origin, Prompts, load_embeddings, write_frozen, write_origin
from ecclip.formats.embeddings import write_embeddings as write
from ecclip.formats.taxonomy.prompts import prompts_of, write_category_prompts
from ecclip.formats.taxonomy.tree import Taxonomy

DIM = 32


def write_embeddings(
    snapshot: Path, folder: Path, noise: float = 0.5, dim: int = DIM, seed: int = 0, frozen_noise: float = 1.5
) -> Path:
    """Write embeddings whose direction is the sum of category, colour, material and group, and noise.

    The frozen start knows the same with ``frozen_noise``.
    """
    columns = ["listing_id", "category", "attributes", "group_id", "image_sha256", "title"]
    rows = pq.read_table(snapshot / "listings", columns=columns).sort_by("listing_id").to_pylist()
    ids = [row["listing_id"] for row in rows]
    write(Embeddings(ids, *_directions(rows, noise, dim, seed)), folder)
    start = _directions(rows, frozen_noise, dim, seed + 1)
    photos, titles = ([row[name] for row in rows] for name in ("image_sha256", "title"))
    write_frozen(Frozen(Embeddings(ids, *start, *start), photos, titles, "f" * 64), folder)
    write_origin(Origin(snapshot=digest_of(snapshot), trained="t" * 64, towers="w" * 64), folder)
    return folder


def write_known_prompts(
    taxonomy: Taxonomy, snapshot: Path, embedded: Path, alike: Mapping[str, str] | None = None
) -> None:
    """Write what towers would make of a taxonomy's texts that they understand, beside embeddings: what the listings of
    a category have in common. Of one without any chance decides, or it is much like the one that ``alike`` names.
    """
    found = load_embeddings(embedded)
    rows = pq.read_table(snapshot / "listings", columns=["listing_id", "category"]).sort_by("listing_id").to_pylist()
    chance, known = np.random.default_rng(1), {}
    for name, path in taxonomy.paths.items():
        members = np.array([row["category"] == list(path) for row in rows])
        means = [np.nanmean(one[members], axis=0) for one in (found.image, found.text) if members.any()]
        vector = np.sum([mean / np.linalg.norm(mean) for mean in means], axis=0) if means else chance.normal(size=DIM)
        known[name] = vector / np.linalg.norm(vector)
    known |= {name: known[other] + 0.2 * known[name] for name, other in (alike or {}).items()}
    texts = [(text, known[name]) for name, own in prompts_of(taxonomy).items() for text in own]
    vectors = np.array([vector / np.linalg.norm(vector) for _, vector in texts], np.float32)
    names = [text for text, _ in texts]
    write_category_prompts(Prompts(names, vectors, np.zeros((len(names), 0), np.float32), joint=True), embedded)


def _directions(rows: list[dict[str, Any]], noise: float, dim: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return vectors of length 1 of photos and of titles, float32 [N, dim]."""
    chance = np.random.default_rng(seed)
    known: dict[str, np.ndarray] = {}

    def direction(*names: str) -> np.ndarray:
        vector = np.zeros(dim)
        for name in names:
            vector += known.setdefault(name, chance.normal(size=dim) / np.sqrt(dim))
        vector = vector + noise * chance.normal(size=dim) / np.sqrt(dim)
        return vector / np.linalg.norm(vector)

    image, text = [], []
    for row in rows:
        names = ["/".join(row["category"] or ()), *(f"{k}={v}" for k, v in row["attributes"] or ()), row["group_id"]]
        image.append(direction(*names) if row["image_sha256"] else np.full(dim, np.nan))
        text.append(direction(*("text " + name for name in names)))
    return np.array(image, np.float32), np.array(text, np.float32)
