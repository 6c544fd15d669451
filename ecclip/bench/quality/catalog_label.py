"""The catalog as label: what matching and clustering gain when training is told which listings are one product."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from ecclip.bench.quality.cache import kept
from ecclip.bench.quality.data import Product
from ecclip.bench.quality.gain import Interval, difference, ratio
from ecclip.bench.quality.grouping import MODALITIES, Grouped, Listings, group_by_embeddings
from ecclip.bench.quality.market import MARKET, market
from ecclip.bench.quality.trained import trained
from ecclip.bench.result import Result, Row
from ecclip.model import Towers, TowersConfig
from ecclip.sample import SampleConfig
from ecclip.train import Labels, TrainerConfig

WITHOUT = "without the catalog: hard labels, groups meet by chance"
PUBLIC = "hm_articles"
_GROUP_SHARE = 0.5  # of the batches of the ablation, where the recipe has none of its own
_MATCHING, _CLUSTERING = "matching, mean average precision", "clustering, pairwise F1"


def label_variants(recipe: TrainerConfig) -> dict[str, TrainerConfig]:
    """Return trainings that differ in what they are told about groups; the recipe itself is not among them."""
    blind = replace(recipe.sampler, group_share=0.0, distinct_groups=False)
    apart = replace(recipe.sampler, group_share=0.0, distinct_groups=True)
    told = replace(recipe.sampler, group_share=recipe.sampler.group_share or _GROUP_SHARE)
    every = {
        WITHOUT: replace(recipe, labels=Labels.HARD, sampler=blind),
        "groups never meet": replace(recipe, sampler=apart),
        **{f"labels: {labels}": replace(recipe, labels=labels, sampler=told) for labels in Labels},
    }
    return {name: cfg for name, cfg in every.items() if cfg != recipe}


class CatalogLabel:
    """Rows of matching and clustering on hm_articles, by its product codes, and on a night of the sample.

    For the public set the towers are those that were trained on all public sets; for the night they are trained on its
    shards, whose groups the catalog has found, and measured by the products as they are.

    Args:
        result: gets the rows.
        work: keeps the night and what was measured.
        products: the public sets.
        towers_cfg: where training starts.
        start: the towers as they start.
        night: of the sample.
    """

    def __init__(
        self,
        result: Result,
        work: Path,
        products: Sequence[Product],
        towers_cfg: TowersConfig,
        start: Towers,
        night: SampleConfig = MARKET,
    ) -> None:
        self._result, self._towers_cfg = result, towers_cfg
        self._shards, listings = market(work / "market", night)
        self._listings = [_public(products), listings]
        self._found: dict[str, list[dict[str, Grouped]]] = {}
        self._start = self._group([start, start], work / "start")

    def enter_start(self, system: str) -> None:
        """Enter the rows of the towers as they start."""
        for listings, found in zip(self._listings, self._start, strict=True):
            for row, (value, count) in _values(listings.name, found).items():
                self._row(row, system, value, count)

    def enter(self, system: str, cfg: TrainerConfig, towers: Towers, folder: Path) -> None:
        """Enter the rows of trained towers and their gain over the start, paired by listing."""
        of_night = trained(folder / "market", self._shards, self._towers_cfg, cfg)
        self._found[system] = self._group([towers, of_night], folder)
        for listings, found, before in zip(self._listings, self._found[system], self._start, strict=True):
            for row, (value, count) in _values(listings.name, found).items():
                self._row(row, system, value, count)
            for row, (value, count) in _gains(listings.name, found, before).items():
                self._row(f"gain over the start of {row}", system, value, count)

    def enter_headline(self, system: str) -> None:
        """Enter what a system gains over the training without the catalog, where both were trained.

        The headline is that of photo and title on the public set.
        """
        if not {system, WITHOUT} <= set(self._found):
            return
        for listings, found, other in zip(self._listings, self._found[system], self._found[WITHOUT], strict=True):
            for row, (value, count) in _gains(listings.name, found, other).items():
                self._row(f"gain of the catalog as label, {row}", system, value, count)
        gains = _gains(PUBLIC, self._found[system][0], self._found[WITHOUT][0])
        self._result.head(
            catalog_label_gain_matching=gains[f"{_MATCHING}, both, {PUBLIC}"][0][0],
            catalog_label_gain_clustering=gains[f"{_CLUSTERING}, both, {PUBLIC}"][0][0],
        )

    def _group(self, towers: Sequence[Towers], folder: Path) -> list[dict[str, Grouped]]:
        places = zip(towers, self._listings, ("public", "market"), strict=True)
        return [_grouped(own, listings, folder / f"grouped-{name}.npz") for own, listings, name in places]

    def _row(self, what: str, system: str, value: Interval, count: int) -> None:
        middle, low, high = (round(number, 4) for number in value)
        self._result.rows.append(Row(what, system, middle, "share", low, high, count))


def _public(products: Sequence[Product]) -> Listings:
    own = [one for one in products if one.source == PUBLIC]
    return Listings(
        PUBLIC,
        [one.image for one in own],
        [one.title for one in own],
        np.unique([one.keys[0] for one in own], return_inverse=True)[1],
        np.array([one.split for one in own]),
    )


def _grouped(towers: Towers, listings: Listings, file: Path) -> dict[str, Grouped]:
    """Return what the test listings find by modality, from ``file`` if it is there."""

    def make() -> dict[str, np.ndarray]:
        found = group_by_embeddings(towers, listings)
        return {f"{modality} {name}": values for modality, own in found.items() for name, values in asdict(own).items()}

    arrays = kept(file, make)
    names = Grouped.__dataclass_fields__
    return {modality: Grouped(**{name: arrays[f"{modality} {name}"] for name in names}) for modality in MODALITIES}


def _values(name: str, found: Mapping[str, Grouped]) -> dict[str, tuple[Interval, int]]:
    """Return matching and clustering by each modality, with the number of listings that it is measured on."""
    return {
        f"{what}, {modality}, {name}": (ratio(above, below, products), len(products))
        for modality, own in found.items()
        for what, (above, below, products) in _measures(own).items()
    }


def _gains(name: str, found: Mapping[str, Grouped], other: Mapping[str, Grouped]) -> dict[str, tuple[Interval, int]]:
    """Return by how much ``found`` is better than ``other``, paired by listing, likewise."""
    gains = {}
    for modality, own in found.items():
        for what, (above, below, products) in _measures(own).items():
            gain = difference((above, below), _measures(other[modality])[what][:2], products)
            gains[f"{what}, {modality}, {name}"] = (gain, len(products))
    return gains


def _measures(own: Grouped) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Return each measure as the sums that it is a ratio of, and the products of its listings."""
    asked = ~np.isnan(own.precision)
    return {
        _MATCHING: (own.precision[asked], np.ones(int(asked.sum())), own.products[asked]),
        _CLUSTERING: (2.0 * own.right, own.found + own.true, own.products),
    }
