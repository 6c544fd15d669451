"""Products of a night of the sample against its truth: grouping alone, embeddings alone, and the whole stage."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch

from ecclip.bench.nightly.group_quality import read_truth
from ecclip.bench.nightly.nights import sample_nights, workspace
from ecclip.bench.result import OURS
from ecclip.bench.tasks.cells import CHEAP, FROZEN, Cell, Measured, Part, side_by_side
from ecclip.bench.tasks.clusters import TASK, judge
from ecclip.core import digest_of
from ecclip.formats.answers import read_grouped
from ecclip.formats.embeddings import Embeddings, Origin, write_embeddings, write_origin
from ecclip.formats.snapshot import PHOTO, Snapshot
from ecclip.model import TowersConfig, build_towers, encode_images, encode_texts
from ecclip.sample import SampleConfig
from ecclip.tasks import EvaluateConfig, GroupProductsConfig, Rows, group_products, rows
from ecclip.tasks.matching.neighbours import all_neighbours
from ecclip.tasks.matching.pairs import match_threshold, score_neighbours
from ecclip.tasks.matching.report import cluster_neighbours

# a seed that the rules of grouping were not chosen on; the figures of products are those of the first night
NIGHTS = SampleConfig.model_validate({"listings": 1000, "nights": 3, "seed": 19})


def measure_products(_: Path, work: Path, cell: Cell) -> Mapping[str, Measured]:
    """Return the figures of products over all listings of a night that the truth names."""
    with workspace(work / "sample") as folder:
        night = _nights(folder)[0]
        truth = read_truth(folder / "truth" / night / "truth.parquet")
        snapshot, embedded = folder / "snapshots" / night, _embedding(folder, night)
    listings = rows.load_rows(snapshot, embedded)
    found = _products_of(cell.system, listings, snapshot, embedded)
    known = np.array([listing in truth for listing in listings.listing_ids])
    names = [truth[listing] for listing in listings.listing_ids[known]]
    products = np.unique(found[known], return_inverse=True)[1]
    return judge(products, np.unique(names, return_inverse=True)[1], np.arange(len(names)))


def measure_stability(_: Path, work: Path, __: Cell) -> Mapping[str, Measured]:
    """Return the share of listings that keep their product's id from a night to the next, over all nights."""
    with workspace(work / "sample") as folder:
        nights = _nights(folder)
        snapshots = [(folder / "snapshots" / night, _embedding(folder, night)) for night in nights]
        before, found = _none(folder), []
        for night, (snapshot, embedded) in zip(nights, snapshots, strict=True):
            output = folder / "products" / night
            group_products(GroupProductsConfig(), snapshot, embedded, before, output)
            before = output
            found.append(read_grouped(output).products)
    kept = [
        (name, name == later[listing])
        for earlier, later in pairwise(found)
        for listing, name in earlier.items()
        if listing in later
    ]
    names, same = zip(*kept, strict=True)
    return {
        "product ids kept": Measured(np.array(same) * 1.0, np.ones(len(same)), np.unique(names, return_inverse=True)[1])
    }


def _nights(work: Path) -> list[str]:
    """Return the nights of the sample, through the catalog's stages."""
    sample_nights(work, NIGHTS)
    return sorted(path.name for path in (work / "truth").iterdir())


def _embedding(work: Path, night: str) -> Path:
    """Return the embeddings of a night by the towers as training starts."""
    snapshot, embedded = work / "snapshots" / night, work / "embedded" / night
    embedded.mkdir(parents=True, exist_ok=True)
    write_embeddings(_embedded(snapshot), embedded)
    write_origin(Origin(digest_of(snapshot), "none", "start"), embedded)
    return embedded


def _none(work: Path) -> Path:
    none = work / "none"
    none.mkdir(exist_ok=True)
    return none


def _embedded(snapshot: Path) -> Embeddings:
    towers, ids, images, texts = build_towers(TowersConfig()), [], [], []
    workers = torch.get_num_threads()
    for part in Snapshot(snapshot).batches(["listing_id", "title"], photos=True):
        ids += part["listing_id"]
        images.append(encode_images(towers, towers.preprocessor(), part[PHOTO], 16, workers))
        texts.append(encode_texts(towers, towers.preprocessor(), [title or "" for title in part["title"]], 32, workers))
    return Embeddings(ids, np.concatenate(images), np.concatenate(texts))


def _products_of(system: str, listings: Rows, snapshot: Path, embedded: Path) -> np.ndarray:
    """Return the product number of every listing [N] by a system; ``cheap`` is grouping alone."""
    if system == CHEAP:
        return listings.groups
    if system == FROZEN:
        return _by_embeddings(listings)
    output = embedded.parent / "grouped"
    group_products(GroupProductsConfig(), snapshot, embedded, _none(embedded.parent), output)
    names = read_grouped(output).products
    return np.unique([names[listing] for listing in listings.listing_ids], return_inverse=True)[1]


def _by_embeddings(listings: Rows) -> np.ndarray:
    """Cluster by titles and photos as the report of a night does; a listing without a photo is alone."""
    cfg = EvaluateConfig().matching
    members = np.flatnonzero(listings.has("both"))
    scores, found = all_neighbours(listings.vectors("both")[members], cfg.neighbours)
    retrieved = score_neighbours(np.arange(len(members)), scores, found, listings.groups[members])
    asked = retrieved.part(listings.in_validation[members])
    threshold = match_threshold(asked, cfg.precision, cfg.min_pairs)
    products = np.arange(len(listings.listing_ids))
    products[members] = members[cluster_neighbours(scores, found, threshold, cfg.max_product_size)]
    return products


PART = Part(
    [
        *side_by_side(measure_products, ["sample"], TASK, "both"),
        *side_by_side(measure_stability, ["sample three nights"], TASK, "both", (OURS,)),
    ],
    headline={"sample_product_f1": ("sample", TASK, "both", "pairwise F1")},
)
