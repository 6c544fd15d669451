"""The stages that embed listings: all of a snapshot for the tasks, those of a night for the mismatch score."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import torch
from pydantic import Field

from ecclip.core import Counts, StageConfig, digest_of, get_logger, settings, stage
from ecclip.embed.age_policy import PACKAGED, read_age_policy
from ecclip.embed.attribute_options import known_categories, read_attribute_options
from ecclip.embed.borders import embed_borders, measure_backgrounds
from ecclip.embed.frozen import embed_frozen, frozen_towers
from ecclip.embed.prompts import embed_prompts, embed_texts
from ecclip.errors import PairsError
from ecclip.formats.bundle import TOWERS
from ecclip.formats.documents import read_json_object
from ecclip.formats.embeddings import (
    Embeddings,
    Origin,
    write_backgrounds,
    write_embeddings,
    write_frozen,
    write_origin,
    write_prompts,
)
from ecclip.formats.pair_scores import write_pair_scores
from ecclip.formats.policies.age import AgePolicy, write_age_policy
from ecclip.formats.policies.options import AttributeOptions, write_attribute_options
from ecclip.formats.sampling import smallest_hashes
from ecclip.formats.snapshot import PHOTO, Listings
from ecclip.formats.start import read_start
from ecclip.formats.taxonomy.prompts import prompts_of, write_category_prompts
from ecclip.formats.taxonomy.tree import Taxonomy, read_taxonomy
from ecclip.model import encode_images, encode_texts, load_preprocessor, load_towers
from ecclip.train import deterministic

_BLOCK = 65536  # listings read at once; bounds the memory


class _Batches(StageConfig):
    """How many photos and titles are encoded at once; by judgment, for a CPU's cache. A GPU wants more."""

    image_batch: int = Field(16, ge=1, description="photos per batch")
    text_batch: int = Field(32, ge=1, description="titles per batch")


class EmbedConfig(_Batches):
    """Parameters of the stage embed."""

    features: bool = Field(
        True,
        description="keep the towers' own features beside the embeddings, for heads that read them; with the default "
        "towers 8.7 kB a listing instead of 2 kB",
    )
    prompts: int = Field(
        2000,
        ge=0,
        description="the snapshot's most frequent labels, which the frozen start embeds for zero-shot answers; "
        "by judgment: seconds of one core",
    )
    age_policy: str = Field(
        PACKAGED,
        description="file of the workspace's folder policies/ with the classes of age restriction, or packaged: the "
        "one that ecclip brings along",
    )
    attribute_options: str | None = Field(
        None,
        description="file of the workspace's folder policies/ that names attributes and their options, which are "
        "answered zero-shot where no spec teaches them; none: no such attribute",
    )


class ScorePairsConfig(_Batches):
    """Parameters of the stage score_pairs."""

    references: int = Field(
        512, ge=2, description="other listings that a photo and a title are compared with; by judgment"
    )


@stage
def embed(cfg: EmbedConfig, snapshot: Path, trained: Path, output: Path, policies: Path | None = None) -> Counts:
    """Write both embeddings of every listing of a snapshot, and beside them those of the frozen start.

    Where ``policies`` is given, the classes of age restriction and the attributes with given options are read from it,
    and their descriptions and the borders of some photos are embedded, too; of a snapshot with a taxonomy, what its
    categories are called.

    The frozen start says of a photo or a title what it said on any night before, so that it is taken from there where
    an earlier night lies beside this one.

    Raises:
        ConfigError: a file of policies cannot be used; names file and line.
        ContractError: the snapshot or the towers cannot be read.
    """
    policy = None if policies is None else read_age_policy(policies, cfg.age_policy)
    options = None
    if policies is not None and cfg.attribute_options is not None:
        options = read_attribute_options(policies, cfg.attribute_options, known_categories(snapshot))
    embeddings, photos = _embed(cfg, snapshot, trained / TOWERS, features=cfg.features)
    write_embeddings(embeddings, output)
    write_origin(
        Origin(
            snapshot=digest_of(snapshot),
            trained=digest_of(trained),
            towers=digest_of(trained / TOWERS),
            start_share=_start_share(trained),
        ),
        output,
    )
    decoded = ~np.isnan(embeddings.image).any(axis=1)
    embedded = int(decoded.sum())
    frozen = _embed_frozen(cfg, snapshot, trained, output)
    borders = 0
    if policy is not None:
        with_photo = {name for name, known in zip(embeddings.listing_ids, decoded, strict=True) if known}
        write_backgrounds(measure_backgrounds(snapshot, with_photo), output)
        borders = _embed_policies(policy, options, snapshot, trained / TOWERS, output)
    taxonomy = read_taxonomy(snapshot)
    categories = {} if taxonomy is None else {"categories": _embed_taxonomy(taxonomy, trained / TOWERS, output)}
    return Counts(
        read={"listings": len(embeddings.listing_ids), "photos": photos},
        written={
            "text_embeddings": len(embeddings.listing_ids),
            "image_embeddings": embedded,
            "frozen": frozen,
            "borders": borders,
        }
        | categories,
        dropped={"photo cannot be decoded": photos - embedded} if photos > embedded else {},
    )


@stage
def score_pairs(cfg: ScorePairsConfig, cleaned: Path, reference: Path, output: Path) -> Counts:
    """Write ``pairs.parquet`` (listing_id, similarity, agreement): whether photo and title belong together.

    ``similarity`` is the cosine of both by the champion. ``agreement`` is the lesser of two z-scores: of the cosine of
    the photo with its title among other listings' titles, and of the title with its photo among other photos. A cosine
    alone depends on the towers and on how uniform the catalog is. A night without a champion gets an empty table.

    Raises:
        ContractError: the listings or the towers cannot be read.
    """
    champion = read_start(reference)
    if champion.towers is None:
        write_pair_scores([], np.empty(0), np.empty(0), output)
        return Counts(written={"pairs": 0}, detail={"champion": "none yet"})
    embeddings, _ = _embed(cfg, cleaned, champion.towers)
    known = ~np.isnan(embeddings.image).any(axis=1)
    ids = [name for name, with_photo in zip(embeddings.listing_ids, known, strict=True) if with_photo]
    similarity, agreement = agreements(ids, embeddings.image[known], embeddings.text[known], cfg.references)
    write_pair_scores(ids, similarity, agreement, output)
    return Counts(
        read={"listings": len(embeddings.listing_ids)},
        written={"pairs": len(ids)},
        detail={"champion": champion.version, "bundle": champion.bundle},
    )


def _start_share(trained: Path) -> str:
    """Return how much of the networks' weights a training has taken back to where it started, as its history says."""
    path = trained / "history.json"
    history = read_json_object(path, "run train of this night again") if path.is_file() else {}
    return str((history.get("interpolation") or {}).get("share", 0))


def _embed_frozen(cfg: EmbedConfig, snapshot: Path, trained: Path, output: Path) -> int:
    """Write what the frozen start says of the listings and of their labels; return how many listings there are."""
    device = torch.device(settings().device)
    with deterministic(settings().torch_threads, device):
        towers = frozen_towers(trained, load_preprocessor(trained / TOWERS).image_size)
        if towers is None:
            return 0
        found = embed_frozen(towers.to(device), snapshot, output.parents[1].glob("*/embed"))
        prompts = embed_prompts(towers, snapshot, cfg.prompts)
    write_frozen(found, output)
    if prompts is not None:
        write_prompts(prompts, output)
    return len(found.titles)


def _embed_policies(
    policy: AgePolicy, options: AttributeOptions | None, snapshot: Path, weights: Path, output: Path
) -> int:
    """Write what trained towers say of descriptions and of the borders of photos; return how many of these."""
    device = torch.device(settings().device)
    with deterministic(settings().torch_threads, device):
        towers, preprocessor = load_towers(weights).to(device), load_preprocessor(weights)
        texts = sorted({text for one in policy.classes for text in one.descriptions})
        write_age_policy(policy, embed_texts(towers, texts) if texts else None, output)
        if options is not None:
            prompts = sorted({text for one in options.attributes for part in one.prompts for text in part})
            write_attribute_options(options, embed_texts(towers, prompts), output)
        return embed_borders(towers, preprocessor, snapshot, policy, output)


def _embed_taxonomy(taxonomy: Taxonomy, weights: Path, output: Path) -> int:
    """Write what trained towers say of all that categories are called; return how many categories there are."""
    device = torch.device(settings().device)
    texts = sorted({text for own in prompts_of(taxonomy).values() for text in own})
    with deterministic(settings().torch_threads, device):
        write_category_prompts(embed_texts(load_towers(weights).to(device), texts), output)
    return len(taxonomy.categories)


def agreements(ids: list[str], image: np.ndarray, text: np.ndarray, references: int) -> tuple[np.ndarray, np.ndarray]:
    """Return similarity and agreement of every pair, float32 [N], for embeddings float32 [N, d].

    The other listings are those with the smallest hashes of their ids, whatever the order.
    """
    others = smallest_hashes(ids, references)
    similarity = np.einsum("nd,nd->n", image, text)
    by_photo = _above(similarity, image, text[others])
    by_title = _above(similarity, text, image[others])
    return similarity, np.minimum(by_photo, by_title)


def _above(own: np.ndarray, queries: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return z-scores [N]: ``own`` [N] in standard deviations above the cosines of queries [N, d] and others [M, d]."""
    result = np.empty(len(own), dtype=np.float32)
    for first in range(0, len(own), _BLOCK):
        rows = slice(first, first + _BLOCK)
        cosines = queries[rows] @ others.T
        deviation = cosines.std(axis=1)
        result[rows] = (own[rows] - cosines.mean(axis=1)) / np.where(deviation > 0, deviation, 1.0)
    return result


def _embed(cfg: _Batches, listings: Path, weights: Path, *, features: bool = False) -> tuple[Embeddings, int]:
    """Return the embeddings of a folder's listings and the number of their photos."""
    ids: list[str] = []
    images, texts = [], []
    photos = 0
    device, workers = torch.device(settings().device), settings().torch_threads
    what: Literal["embedding", "outputs"] = "outputs" if features else "embedding"
    with deterministic(workers, device):
        towers, preprocessor = load_towers(weights).to(device), load_preprocessor(weights)
        for part in Listings(listings).batches(["listing_id", "title"], photos=True):
            ids += part["listing_id"]
            photos += sum(data is not None for data in part[PHOTO])
            titles = [title or "" for title in part["title"]]
            images.append(encode_images(towers, preprocessor, part[PHOTO], cfg.image_batch, workers, what=what))
            texts.append(encode_texts(towers, preprocessor, titles, cfg.text_batch, workers, what=what))
            get_logger().info("embedding", listings=len(ids))
        if not ids:
            raise PairsError(
                "there are no listings to embed",
                value=listings,
                next_step="see the snapshot's statistics: it has no listings",
            )
    image, text, dim = np.concatenate(images), np.concatenate(texts), towers.cfg.embedding_dim
    own = (image[:, dim:], text[:, dim:]) if features else ()
    return Embeddings(ids, image[:, :dim], text[:, :dim], *own), photos
