"""The cells of attributes: F1 is that of the published evaluation, no title of test teaches, a dictionary is one."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from ecclip.bench.tasks.attribute_sets import load_attribute_set
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
        asked=STATED,
        groups=np.arange(3),
        split=np.array([TEST, TEST, "train"]),
    )
    found = judge(listings, TEST, SAID)
    # right: y; wrong: q where nothing is; missed: z; nothing said where nothing is counts nowhere
    assert found.value == pytest.approx(2 * 1 / (2 + 2))
    assert judge(listings, "train", SAID).value == pytest.approx(2 * 1 / (2 + 2)), "only in its own case"


@pytest.mark.parametrize("name", SETS)
def test_no_title_of_test_teaches_and_what_is_asked_is_annotated(name: str) -> None:
    if "ECCLIP_TEST_DATA" not in os.environ:
        pytest.skip("needs ECCLIP_TEST_DATA=<folder>")
    listings = load_attribute_set(Path(os.environ["ECCLIP_TEST_DATA"]), name)
    titles: dict[str, set[str]] = {"train": set(), "validation": set(), "test": set()}
    for title, split in zip(listings.titles, listings.split, strict=True):
        titles[split].add(title.casefold())
    assert all(len(found) > 100 for found in titles.values())
    assert not titles["test"] & (titles["train"] | titles["validation"])
    assert not titles["train"] & titles["validation"]
    for asked, stated in zip(listings.asked, listings.stated, strict=True):
        assert asked is not None
        assert stated is not None
        assert {*asked} <= {*stated}
    assert sum(len(asked or ()) for asked in listings.asked) > 4000
