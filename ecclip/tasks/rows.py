"""The snapshot's labels joined with the embeddings, one row per listing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ecclip.core import ContractError, digest_of
from ecclip.formats.columns import GROUP_ID, SPLIT
from ecclip.formats.embeddings import Embeddings, Origin, load_backgrounds, load_embeddings, load_frozen, read_origin
from ecclip.formats.policies.age import EmbeddedPolicy, load_age_policy
from ecclip.formats.policies.options import EmbeddedOptions, load_attribute_options
from ecclip.formats.sampling import sets_thresholds, smallest_hashes
from ecclip.formats.snapshot import Snapshot
from ecclip.formats.taxonomy.prompts import EmbeddedTaxonomy, load_embedded_taxonomy
from ecclip.formats.taxonomy.tree import Taxonomy, read_taxonomy

THRESHOLDS = "thresholds"  # the part of split validation that nothing is chosen on, so that thresholds can be

_MOST_SCORES = 10_000_000  # of listings and classes that are held at once: 80 MB; by judgment
_COLUMNS = ["listing_id", "title", GROUP_ID, SPLIT]


@dataclass(frozen=True)
class Rows:
    """Labels and embeddings in listing_id order; every array has N rows, embeddings are float32 [N, d].

    ``given`` holds the columns of the snapshot that the tasks asked for, None where a cell is empty. NaN rows of
    ``image`` and ``text`` stand for a missing photo or title. ``split`` is train, validation, thresholds or test: two
    groups of three of the snapshot's validation set the thresholds of `auto` and teach nothing else. ``taxonomy`` is
    that of the categories, None where they are the dump's own paths.
    """

    listing_ids: np.ndarray
    titles: list[str]
    given: dict[str, list[Any]]
    groups: np.ndarray
    split: np.ndarray
    image: np.ndarray
    text: np.ndarray
    image_features: np.ndarray | None = None
    text_features: np.ndarray | None = None
    taxonomy: Taxonomy | None = None
    policy: EmbeddedPolicy | None = None  # of age restriction, where the embeddings came with one
    categories: EmbeddedTaxonomy | None = None  # of the taxonomy, where the embeddings came with its prompts
    options: EmbeddedOptions | None = None  # of attributes that a file names, likewise
    backgrounds: np.ndarray | None = None  # light of photos' borders, mean and deviation, float32 [N, 2]; NaN: no photo

    @property
    def in_validation(self) -> np.ndarray:
        """Return bool [N]: the listings of the snapshot's split validation, whatever they are used for."""
        found: np.ndarray = np.isin(self.split, ("validation", THRESHOLDS))
        return found

    @property
    def dim(self) -> int:
        """Dimensions d of one embedding."""
        return int(self.text.shape[1])

    def has(self, modality: str) -> np.ndarray:
        """Return bool [N]: which listings have the inputs of ``modality``."""
        image, text = ~np.isnan(self.image[:, 0]), ~np.isnan(self.text[:, 0])
        return {"image": image, "text": text, "both": image & text}[modality]

    def sample(self, places: np.ndarray, classes: int) -> np.ndarray:
        """Return those of ``places`` [M] that the scores of so many classes are computed of: bounds the memory.

        Thousands of classes are judged on some thousand listings, those of the smallest hashes of their ids.
        """
        most = max(_MOST_SCORES // max(classes, 1), 1)
        if len(places) <= most:
            return places
        found: np.ndarray = np.sort(places[smallest_hashes([str(self.listing_ids[place]) for place in places], most)])
        return found

    def features(self, modality: str) -> np.ndarray:
        """Return the embeddings of a modality, float32 [N, d], or [N, 2d] for both."""
        if modality == "both":
            return np.concatenate([self.image, self.text], axis=1)
        return self.image if modality == "image" else self.text

    def inputs(self, *, features: bool, places: np.ndarray | slice = slice(None)) -> tuple[np.ndarray, np.ndarray]:
        """Return the heads' inputs for photo and title, float32 [N, ...]: embeddings, followed by features.

        Where ``places`` [M] are given, they are those of these listings alone, [M, ...].
        """
        if not features or self.image_features is None or self.text_features is None:
            return self.image[places], self.text[places]
        return (
            np.concatenate([self.image[places], self.image_features[places]], axis=1),
            np.concatenate([self.text[places], self.text_features[places]], axis=1),
        )

    def vectors(self, modality: str) -> np.ndarray:
        """Return ``features`` [N, d or 2d] of length 1: the inner product of two is their (mean) cosine similarity."""
        return self.features(modality) / np.float32(np.sqrt(2) if modality == "both" else 1)


def load_rows(snapshot: Path, embedded: Path, columns: Sequence[str] = ()) -> Rows:
    """Read the listings of a snapshot, without photos but with ``columns``, and their embeddings.

    Raises:
        ContractError: the embeddings are not those of this snapshot.
    """
    table = Snapshot(snapshot).table(sorted({*_COLUMNS, *columns})).sort_by("listing_id")
    taxonomy = read_taxonomy(snapshot)
    found: dict[str, list[Any]] = table.to_pydict()
    origin_of(snapshot, embedded)
    return Rows(
        listing_ids=np.array(found["listing_id"], dtype=object),
        titles=[title or "" for title in found["title"]],
        given={name: found[name] for name in columns},
        groups=np.unique(np.array(found[GROUP_ID], dtype=str), return_inverse=True)[1],
        split=np.array(
            [_part(split, group) for split, group in zip(found[SPLIT], found[GROUP_ID], strict=True)], dtype=str
        ),
        **_vectors(load_embeddings(embedded), found["listing_id"]),
        taxonomy=taxonomy,
        policy=load_age_policy(embedded),
        categories=load_embedded_taxonomy(taxonomy, embedded),
        options=load_attribute_options(embedded),
        backgrounds=_backgrounds(embedded, found["listing_id"]),
    )


def frozen_rows(rows: Rows, embedded: Path) -> Rows | None:
    """Return the rows as the frozen start embeds them, None where the embeddings came without.

    Raises:
        ContractError: they are not those of these listings.
    """
    frozen = load_frozen(embedded)
    return None if frozen is None else replace(rows, **_vectors(frozen.embeddings, rows.listing_ids.tolist()))


def _vectors(embeddings: Embeddings, listing_ids: list[str]) -> dict[str, Any]:
    """Return the arrays of a :class:`Rows` in the order of ``listing_ids``."""
    order = np.argsort(np.array(embeddings.listing_ids, dtype=object), kind="stable")
    if [embeddings.listing_ids[index] for index in order] != listing_ids:
        raise ContractError(
            "the embeddings are not those of the snapshot's listings",
            value=f"{len(order)} embeddings, {len(listing_ids)} listings",
            next_step="run embed again",
        )
    names = ("image", "text", "image_features", "text_features")
    given = {name: getattr(embeddings, name) for name in names}
    return {name: None if values is None else values[order] for name, values in given.items()}


def _backgrounds(embedded: Path, listing_ids: list[str]) -> np.ndarray | None:
    known = load_backgrounds(embedded)
    if known is None:
        return None
    missing = (np.nan, np.nan)
    return np.array([known.get(name, missing) for name in listing_ids], dtype=np.float32).reshape(-1, 2)


def _part(split: str, group: str) -> str:
    return THRESHOLDS if split == "validation" and sets_thresholds(str(group)) else split


def origin_of(snapshot: Path, embedded: Path) -> Origin:
    """Return what embeddings were made from, after checking that it is this snapshot.

    Raises:
        ContractError: they are not those of this snapshot; names both digests.
    """
    origin = read_origin(embedded)
    digest = digest_of(snapshot)
    if origin.snapshot != digest:
        raise ContractError(
            "the embeddings are not those of the snapshot",
            value=origin.snapshot,
            limit=digest,
            next_step="run embed again",
        )
    return origin
