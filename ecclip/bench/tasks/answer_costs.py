"""What an answer costs besides the towers: heads, decisions, and the reader of open values, of a bundle as shops have.

All of it in one run beside the default towers, on the same listings, by processor time: titles of four to thirty words,
the same with descriptions of a thousand characters, and photos.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from ecclip.bench.measure import processor_seconds
from ecclip.bench.result import Result
from ecclip.tasks import Head, Heads
from ecclip.tasks.attributes.open_values import Labelled, learn_open_values
from ecclip.tasks.attributes.opened import OpenValues
from ecclip.tasks.config import AutoConfig, OpenValuesConfig
from ecclip.tasks.decision import Decider
from ecclip.tasks.kinds import TASKS, Query

_LEAVES, _ATTRIBUTES, _VALUES, _CLASSES = 200, 12, 15, 5  # of category, attributes, and age restriction; by judgment
_BRANDS = [f"{one}{other}" for one in ("ar", "bel", "cin", "dor", "el", "fa") for other in ("vo", "mor", "tra", "win")]
_UNITS = ("ml", "g", "cm", "pcs")
_SHELF = 1200  # listings that the reader learns from; by judgment: seconds of one core
_REPEATED = 3  # times that a step is measured; the least counts: what else runs on the machine only adds
ROUNDS = 20  # of a step that are measured at once: processor time is counted in hundredths of a second
_DESCRIPTION = 1000  # characters


@dataclass(frozen=True)
class Spent:
    """Processor seconds of the towers, and what they read: titles, and outputs float32 [N, i] and [N, t]."""

    seconds: float
    titles: list[str]
    image: np.ndarray
    text: np.ndarray


def enter_answers(result: Result, towers: Spent, dim: int, taught: int = _SHELF, rounds: int = ROUNDS) -> None:
    """Enter the share of the towers' time that heads, decisions and the reader take; headline ``answer_share``.

    The reader learns from ``taught`` listings; ``rounds`` of a step are measured at once.
    """
    chance = np.random.default_rng(0)
    shelf = [_worded(title, chance) for title in (towers.titles * -(-taught // len(towers.titles)))[:taught]]
    read = OpenValues(open_values(shelf))
    asked = [title for title, _ in shelf[: len(towers.titles)]]
    described = [(" ".join([one, *towers.titles]))[:_DESCRIPTION] for one in asked]
    heads = bundle_heads(dim, (towers.image.shape[1], towers.text.shape[1]))
    logits = heads.logits(towers.image, towers.text, "both")
    decider = Decider(heads.describe(), TASKS)
    steps: dict[str, Callable[[], Any]] = {
        "heads": partial(heads.logits, towers.image, towers.text, "both"),
        "decisions": lambda: [decider.answer(row, "both", Query()) for row in logits],
        "open values of titles": lambda: [read.answer(title, None) for title in asked],
        "open values of descriptions": lambda: [read.answer(None, text) for text in described],
    }
    seconds = {name: min(seconds_of(step, rounds) for _ in range(_REPEATED)) for name, step in steps.items()}
    for name, value in seconds.items():
        result.add(f"{name} of a listing", "photo and title", "ms of processor", [1e3 * value / len(asked)])
        result.add(f"{name}, of the towers", "photo and title", "share", [value / towers.seconds])
    result.add("towers of a listing", "photo and title", "ms of processor", [1e3 * towers.seconds / len(asked)])
    without = sum(value for name, value in seconds.items() if "descriptions" not in name)
    result.head(answer_share=without / towers.seconds, answer_share_described=sum(seconds.values()) / towers.seconds)


def seconds_of(step: Callable[[], Any], rounds: int = ROUNDS) -> float:
    """Return the processor seconds of a step, measured ``rounds`` times at once."""
    return processor_seconds(lambda: [step() for _ in range(rounds)])[0] / rounds


def bundle_heads(dim: int, widths: tuple[int, int]) -> Heads:
    """Return heads of random weights: a category of three levels, attributes, and classes of age restriction."""
    paths = [[f"root {leaf % 8}", f"branch {leaf % 40}", f"leaf {leaf}"] for leaf in range(_LEAVES)]
    values = [None, *(f"value {number}" for number in range(_VALUES - 1))]
    labels: dict[tuple[str, str, str], list[Any]] = {("category", "category", "softmax"): paths}
    labels |= {("attributes", f"attribute:{number}", "softmax"): values for number in range(_ATTRIBUTES)}
    labels |= {("age_restricted", "age_restricted", "sigmoid"): ["age_restricted"]}
    labels |= {("age_restricted", f"age:{number}", "sigmoid"): [f"{number}"] for number in range(_CLASSES)}
    stops = np.cumsum([len(one) for one in labels.values()]).tolist()
    parts = tuple(
        Head(*name, stop - len(one), stop, one) for (name, one), stop in zip(labels.items(), stops, strict=True)
    )
    weight = np.random.default_rng(1).normal(size=(3, sum(widths), stops[-1])).astype(np.float32)
    thresholds = {head.name: {"both": 0.9} for head in parts}
    levels = {"category": {"both": {"1": 0.8, "2": 0.85}}}
    return Heads(dim, weight, weight[:, 0], parts, thresholds, widths=widths, level_thresholds=levels)


def open_values(shelf: Sequence[tuple[str, Mapping[str, tuple[str, ...]]]]) -> dict[str, Any]:
    """Return what a night learns of titles with their stated values."""
    count = len(shelf)
    listings = Labelled(
        listing_ids=[f"l{number:06d}" for number in range(count)],
        titles=[title for title, _ in shelf],
        descriptions=[None] * count,
        categories=[""] * count,
        stated=[stated for _, stated in shelf],
        asked=[None] * count,
        groups=np.arange(count),
        split=np.array(["train", "train", "train", "validation", "thresholds"] * count)[:count],
    )
    return learn_open_values(listings, (), OpenValuesConfig(), AutoConfig())


def _worded(title: str, chance: np.random.Generator) -> tuple[str, dict[str, tuple[str, ...]]]:
    """Return a title with brand, model and amount in it, and these as stated."""
    brand, unit = str(chance.choice(_BRANDS)).title(), str(chance.choice(_UNITS))
    model, amount = f"{'XK'[chance.integers(2)]}{chance.integers(100, 999)}", f"{chance.integers(1, 99) * 10} {unit}"
    return f"{brand} {title} {model} {amount}", {"brand": (brand,), "model": (model,), "content": (amount,)}
