"""Values of attributes: systems answer what each set's protocol asks, and a value is right if it reads exactly so.

One answer per listing and attribute asked for; "not present" is an answer. F1 is that of the sets' own evaluation:
precision over the values that are said, recall over those that are annotated, both over all cells; a cell that is
empty and answered so counts nowhere. The category of a listing is given, as it is to the published systems.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ecclip.bench.quality import kept
from ecclip.bench.tasks.attribute_sets import NOT_THERE, SETS, TEST, TRAIN, VALIDATION, load_attribute_set
from ecclip.bench.tasks.cells import CHEAP, FROZEN, ON_VALIDATION, Cell, Measured, Part, side_by_side
from ecclip.bench.tasks.offers import title_features
from ecclip.tasks import EvaluateConfig, Rows, train_heads
from ecclip.tasks.attributes.open_values import Labelled, learn_open_values
from ecclip.tasks.attributes.opened import OpenValues
from ecclip.tasks.config import AttributesConfig, AutoConfig, OpenValuesConfig
from ecclip.tasks.kinds import task_named

TASK, MODALITY = "attributes", "text"
# the protocols ask for every attribute, however rare: the floors of a shop are off
_EVERY = OpenValuesConfig(min_count=2, min_found=0.01, max_names=200)
_EVERY_HEAD = AttributesConfig(min_count=2, min_value_count=2, max_values=200, min_coverage=0.0, max_heads=200)
Said = Mapping[str, "str | None"]  # by attribute; None: not present


def measure_attributes(data: Path, work: Path, cell: Cell) -> Mapping[str, Measured]:
    """Return F1 of the values that a system gives to the listings of test, and on validation."""
    listings = load_attribute_set(data, cell.dataset)
    said = _answers(listings, cell, work)
    return {name: judge(listings, split, said) for name, split in (("F1", TEST), (ON_VALIDATION, VALIDATION))}


def _answers(listings: Labelled, cell: Cell, work: Path) -> list[Said]:
    if cell.system == CHEAP:
        return _by_dictionary(listings)
    if cell.system == FROZEN:
        titles = kept(work / f"titles {cell.dataset}.npz", lambda: {"titles": title_features(listings.titles)})
        return _by_heads(listings, titles["titles"])
    return _by_reader(listings)


def judge(listings: Labelled, split: str, said: Sequence[Said]) -> Measured:
    """Return micro-F1 of the cells of a split; ``said`` [N] are the answers to all listings."""
    above, below, products = [], [], []
    for row in np.flatnonzero(listings.split == split).tolist():
        for name in listings.asked[row] or ():
            value, wanted = said[row].get(name), (listings.stated[row] or {}).get(name, ())
            above.append(2.0 * (value is not None and value in wanted))
            below.append(float(value is not None) + bool(wanted))
            products.append(listings.groups[row])
    return Measured(np.array(above), np.array(below), np.array(products))


def _by_reader(listings: Labelled) -> list[Said]:
    """Answer as a night's reader of open values does, every attribute among them, in the text's own spelling."""
    model = learn_open_values(listings, (), _EVERY, AutoConfig()) | {"spelling": {}}
    values = OpenValues(model)
    said: list[Said] = []
    for row, asked in enumerate(listings.asked):
        one = listings.example(row)
        answers = values.answer(one.title, one.description, one.category, asked)
        said.append({name: answer.value for name, answer in answers.items()})
    return said


def _by_dictionary(listings: Labelled) -> list[Said]:
    """Answer the longest value of the attribute, as train states them, that stands in a text; of equal ones the
    most frequent.
    """
    values: dict[str, Counter[str]] = defaultdict(Counter)
    for row in np.flatnonzero(listings.split == TRAIN).tolist():
        for name, given in (listings.stated[row] or {}).items():
            values[name].update(given)
    ranked = {name: sorted(found, key=lambda one: (-len(one), -found[one], one)) for name, found in values.items()}

    def answer(row: int, name: str) -> str | None:
        texts = [f" {text} " for text in (listings.titles[row], listings.descriptions[row]) if text]
        return next((value for value in ranked.get(name, ()) if any(f" {value} " in text for text in texts)), None)

    return [{name: answer(row, name) for name in asked or ()} for row, asked in enumerate(listings.asked)]


def _by_heads(listings: Labelled, titles: np.ndarray) -> list[Said]:
    """Answer by heads on the frozen text tower, as a night fits them: a choice among the values of train."""
    rows = _rows(listings, titles)
    cfg = EvaluateConfig(attributes=_EVERY_HEAD)
    targets = task_named("attributes").targets(rows, cfg)
    heads = train_heads(rows, targets, cfg).heads
    logits = heads.logits(None, rows.text, "text")
    said: list[dict[str, str | None]] = [{} for _ in listings.titles]
    for head in heads.parts:
        for row, best in enumerate(logits[:, head.start : head.stop].argmax(axis=1)):
            said[row][head.name.removeprefix("attribute:")] = head.labels[best]
    return list(said)


def _rows(listings: Labelled, titles: np.ndarray) -> Rows:
    specs = [
        [(name, json.dumps(list(values)) if values else NOT_THERE) for name, values in (given or {}).items()]
        for given in listings.stated
    ]
    return Rows(
        listing_ids=np.array(listings.listing_ids, dtype=object),
        titles=list(listings.titles),
        given={"attributes": specs, "category": [[name] if name else None for name in listings.categories]},
        groups=listings.groups,
        split=listings.split,
        image=np.full(titles.shape, np.nan, np.float32),
        text=titles,
    )


_OURS = ("ae_110k_subset", TASK, MODALITY, "F1"), ("oa_mine", TASK, MODALITY, "F1")
PART = Part(
    cells=side_by_side(measure_attributes, SETS, TASK, MODALITY),
    headline={"ae_110k_f1": _OURS[0], "oa_mine_f1": _OURS[1]},
    published={
        _OURS[0]: ("GPT-4 with demonstrations (cited)", 0.876, 1482),
        _OURS[1]: ("GPT-4 with demonstrations (cited)", 0.834, 2451),
        ("wdc_pave", TASK, MODALITY, "F1"): ("GPT-4 with demonstrations (cited)", 0.905, 2937),
    },
)
