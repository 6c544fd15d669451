"""The cells of attributes: F1 is that of the published evaluation, no title of test teaches, a dictionary is one."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from ecclip.bench.tasks.attribute_sets import AttributeSet, load_attribute_set
from ecclip.bench.tasks.attributes import judge
from ecclip.tasks.attributes.open_values import Labelled

SETS, TEST = ("ae_110k_subset", "oa_mine", "wdc_pave", "indonesian_attributes"), "test"
STATED: list[dict[str, list[str]]] = [{"a": ["x", "y"], "b": []}, {"a": [], "b": ["z"]}, {"a": ["x"], "c": ["w"]}]
SAID: list[dict[str, str | None]] = [{"a": "y", "b": "q"}, {"a": None, "b": None}, {"a": "X", "c": "w"}]


def test_f1_counts_values_that_are_said_and_values_that_are_there() -> None:
    listings = Labelled(
        listing_ids=["0", "1", "2"],
        titles=["t"] * 3,
        descriptions=[None] * 3,
        categories=[""] * 3,
        stated=STATED,
        groups=np.arange(3),
        split=np.array([TEST, TEST, "train"]),
    )
    known = AttributeSet(listings, [[*one] for one in STATED])
    found = judge(known, TEST, SAID)
    # right: y; wrong: q where nothing is; missed: z; nothing said where nothing is counts nowhere
    assert found.value == pytest.approx(2 * 1 / (2 + 2))
    assert judge(known, "train", SAID).value == pytest.approx(2 * 1 / (2 + 2)), "a value is right in its own case alone"


@pytest.mark.parametrize("name", SETS)
def test_no_title_of_test_teaches_and_what_is_asked_is_annotated(name: str) -> None:
    if "ECCLIP_TEST_DATA" not in os.environ:
        pytest.skip("needs ECCLIP_TEST_DATA=<folder>")
    known = load_attribute_set(Path(os.environ["ECCLIP_TEST_DATA"]), name)
    listings = known.listings
    titles: dict[str, set[str]] = {"train": set(), "validation": set(), "test": set()}
    for title, split in zip(listings.titles, listings.split, strict=True):
        titles[split].add(title.casefold())
    assert all(len(found) > 100 for found in titles.values())
    assert not titles["test"] & (titles["train"] | titles["validation"])
    assert not titles["train"] & titles["validation"]
    for asked, stated in zip(known.asked, listings.stated, strict=True):
        assert stated is not None
        assert {*asked} <= {*stated}
    assert sum(map(len, known.asked)) > 4000
