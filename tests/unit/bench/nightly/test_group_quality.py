"""Pairwise quality against counting pairs one by one, and photos alone on real data where it is at hand."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecclip.bench.nightly.group_quality import TRUTHS, pair_quality, photo_quality


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xyz")), max_size=12))
@settings(max_examples=50, derandomize=True)
def test_pairs_are_counted_as_one_by_one(rows: list[tuple[str, str]]) -> None:
    groups = {str(number): own for number, (own, _) in enumerate(rows)}
    truth = {str(number): product for number, (_, product) in enumerate(rows) if number}
    pairs = list(itertools.combinations(truth, 2))
    found = {pair for pair in pairs if groups[pair[0]] == groups[pair[1]]}
    true = {pair for pair in pairs if truth[pair[0]] == truth[pair[1]]}
    quality = pair_quality(groups, truth)
    assert (quality.found, quality.true, quality.both) == (len(found), len(true), len(found & true))
    assert quality.precision == (len(found & true) / len(found) if found else 1)
    assert quality.recall == (len(found & true) / len(true) if true else 1)


@pytest.mark.slow  # all photos of public data, where there are some
@pytest.mark.parametrize("name", TRUTHS)
def test_photos_alone_find_more_than_equal_hashes(name: str) -> None:
    folder = os.environ.get("ECCLIP_TEST_DATA")
    if folder is None or not (Path(folder) / name / "images.parquet").is_file():
        pytest.skip(f"ECCLIP_TEST_DATA does not hold {name}")
    quality = photo_quality(Path(folder), name)
    assert quality["photos alone"].both > quality["equal pHash"].both > 0
    assert quality["photos alone"].true == quality["equal pHash"].true > 500
