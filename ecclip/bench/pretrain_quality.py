"""What contrastive pretraining gains on real product photos, with ablations.

``python -m ecclip.bench.pretrain_quality --data FOLDER --out results/pretrain_quality.json``: trains the default
recipe and its ablations on four public sets, split by group, and reports retrieval on held-out groups, linear probes
of the image tower before and after, what the recipe's choices are worth in the heads, what is decided without review
and whether that keeps its promise, and matching and clustering by what training was told about groups. An interrupted
run continues where it stopped.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from ecclip.bench.machine import new_result
from ecclip.bench.quality import kept
from ecclip.bench.quality.auto import enter_auto
from ecclip.bench.quality.catalog_label import CatalogLabel, label_variants
from ecclip.bench.quality.data import SETS, Product, load_products, write_shards
from ecclip.bench.quality.evaluated import embedded, groups_of
from ecclip.bench.quality.market import MARKET
from ecclip.bench.quality.probe import interval, probe_hits
from ecclip.bench.quality.recipe import enter_recipe, recipe_variants
from ecclip.bench.quality.trained import folder_of, probe_of, trained
from ecclip.bench.result import Result, Row, write_result
from ecclip.formats.bundle import TOWERS
from ecclip.formats.snapshot import SHARDS
from ecclip.model import Towers, TowersConfig, build_towers, load_towers
from ecclip.sample import SampleConfig
from ecclip.train import (
    RECALL_AT,
    SINGLE_PROCESS,
    TrainerConfig,
    choose_photo_size,
    encode_images,
    hit_ranks,
    keep_freed_memory,
)

_DEFAULT, SHORT, _TRAINED = "default", "two epochs", "trained"
# the size of photos is chosen once, for the default: its ablations are compared at the size that all are trained at
_RECIPE = replace(TrainerConfig(), photo_scales=())
_EPOCHS = 2  # of the ablations: a quarter of the default's, so that all of them fit into an evening


def variants_of(recipe: TrainerConfig, epochs: int = _EPOCHS) -> dict[str, TrainerConfig]:
    """Return the recipe, a shorter training, and others that each take one idea of that away or have another instead.

    The shorter one runs all its ``epochs``.
    """
    short = replace(recipe, epochs=epochs, patience=None)
    sampler = short.sampler
    return {
        _DEFAULT: recipe,
        SHORT: short,
        "no hard negatives": replace(short, sampler=replace(sampler, hard_negative_share=0.0)),
        "batch of a quarter": replace(short, sampler=replace(sampler, batch_size=max(2, sampler.batch_size // 4))),
        **recipe_variants(short),
        **label_variants(short),
    }


VARIANTS = tuple(variants_of(_RECIPE))
_LABELS = tuple(label_variants(_RECIPE))
PROBES = (
    ("myntra_fashion", "category"),
    ("myntra_fashion", "baseColour"),
    ("myntra_more", "category"),
    ("myntra_more", "baseColour"),
    ("hm_articles", "category"),
    ("hm_articles", "baseColour"),
    ("flipkart1050", "category"),
)
_WAYS = ("text to image", "image to text")
_BEFORE = "start (ImageNet and sentence encoder)"


def run(
    data: Path,
    work: Path,
    command: str,
    variants: Mapping[str, TrainerConfig],
    towers_cfg: TowersConfig,
    night: SampleConfig = MARKET,
) -> Result:
    """Train every variant and return the figures; ``work`` keeps towers and checkpoints for a run that goes on."""
    products = load_products(data)
    counts = {split: sum(one.split == split for one in products) for split in ("train", "validation", "test")}
    result = new_result(command, listings=counts, towers=towers_cfg.vision, image_size=towers_cfg.image_size)
    write_shards([one for one in products if one.split == "train"], work / SHARDS)
    start = build_towers(towers_cfg)
    before = _probe_scores(result, _BEFORE, start, products, work / "start")
    labels = CatalogLabel(result, work, products, towers_cfg, start, night)
    labels.enter_start(_BEFORE)
    for name, cfg in variants.items():
        folder = folder_of(work, name, cfg, towers_cfg)
        towers = trained(folder, work / SHARDS, towers_cfg, cfg, products)
        after = _probe_scores(result, name, towers, products, folder)
        _gains(result, name, before, after)
        if name == _DEFAULT:
            served = load_towers(folder / TOWERS)
            chosen = kept(folder / "photo_size.npz", partial(_photo_size, served, products))
            served.photo_size = int(chosen["size"])
            result.head(photo_size=served.photo_size)
            enter_recipe(result, folder / "recipe", products, {_TRAINED: served, "frozen start": start}, PROBES)
            enter_auto(result, folder / "recipe" / _TRAINED, name, served, products, PROBES)
        if name in (SHORT, *_LABELS):
            labels.enter(name, cfg, towers, folder)
    labels.enter_headline(SHORT)
    return result


def _photo_size(towers: Towers, products: list[Product]) -> dict[str, np.ndarray]:
    """Return the size at which a night would serve towers, chosen on validation."""
    choose_photo_size(towers, TrainerConfig().photo_scales, partial(probe_of(products), towers), SINGLE_PROCESS)
    return {"size": np.array(towers.photo_size)}


def _probe_scores(
    result: Result, system: str, towers: Towers, products: list[Product], folder: Path
) -> dict[tuple[str, str], np.ndarray]:
    """Enter retrieval and probes of towers, which are kept in ``folder``; return the hits of every probe."""
    found = kept(folder / "probes.npz", lambda: _ranks(towers, products) | _hits(towers, products))
    tested = sum(one.split == "test" for one in products)
    for way in _WAYS:
        for k in RECALL_AT:
            mean = _enter(result, f"recall@{k}, {way}, of {tested} held-out listings", system, found[way] < k)
            if (system, way, k) == (_DEFAULT, "text to image", 10):
                result.head(text_to_image_recall_at_10=mean)
    for source, label in PROBES:
        _enter(result, f"linear probe, {source}, {label}", system, found[f"{source} {label}"])
    return {(source, label): found[f"{source} {label}"] for source, label in PROBES}


def _hits(towers: Towers, products: list[Product]) -> dict[str, np.ndarray]:
    """Return of every probe which of the test listings it gets right."""
    preprocessor, workers = towers.preprocessor(), torch.get_num_threads()
    features = encode_images(towers, preprocessor, [one.image for one in products], 16, workers, what="features")
    hits = {}
    for source, label in PROBES:
        rows = {
            split: [n for n, one in enumerate(products) if (one.source, one.split) == (source, split)]
            for split in ("train", "validation", "test")
        }
        hits[f"{source} {label}"] = probe_hits(
            {split: features[own] for split, own in rows.items()},
            {split: [products[n].labels.get(label) for n in own] for split, own in rows.items()},
        )
    return hits


def _ranks(towers: Towers, products: list[Product]) -> dict[str, np.ndarray]:
    """Return at which rank each test listing finds its group, both ways."""
    asked = [one for one in products if one.split == "test"]
    (image, text), groups = embedded(towers, asked), groups_of(asked)
    return dict(zip(_WAYS, (hit_ranks(text, image, groups), hit_ranks(image, text, groups)), strict=True))


def _gains(
    result: Result, system: str, before: dict[tuple[str, str], np.ndarray], after: dict[tuple[str, str], np.ndarray]
) -> None:
    """Enter the difference of every probe to the start, paired by listing, with its interval."""
    for (source, label), hits in after.items():
        gain = _enter(
            result,
            f"gain of the probe, {source}, {label}",
            system,
            hits.astype(float) - before[source, label].astype(float),
        )
        if system == _DEFAULT:
            result.head(**{f"probe_gain_{source}_{label}": gain})


def _enter(result: Result, what: str, system: str, hits: np.ndarray) -> float:
    mean, low, high = interval(np.asarray(hits, dtype=np.float64))
    result.rows.append(Row(what, system, round(mean, 4), "share", round(low, 4), round(high, 4), len(hits)))
    return mean


def main() -> None:
    """Read the arguments, run, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help=f"folder with {', '.join(SETS)}")
    parser.add_argument("--work", type=Path, default=Path("work/bench/pretrain_quality"), help="towers, checkpoints")
    parser.add_argument("--out", type=Path, default=Path("results/pretrain_quality.json"), help="file of results")
    parser.add_argument("--epochs", type=int, default=_EPOCHS, help="passes over the training pairs of the ablations")
    parser.add_argument("--variants", nargs="*", choices=VARIANTS, default=VARIANTS)
    parser.add_argument("--threads", type=int, default=2)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    keep_freed_memory()
    every = variants_of(_RECIPE, chosen.epochs)
    variants = {name: every[name] for name in chosen.variants}
    command = f"ecclip bench quality --data DATA --epochs {chosen.epochs}"
    if set(variants) != set(VARIANTS):
        command += "".join(f" --variants {shlex.quote(name)}" for name in variants)
    result = run(chosen.data, chosen.work, command, variants, TowersConfig())
    write_result(result, chosen.out)


if __name__ == "__main__":
    main()
