"""Chains above the cap fall apart at their weakest evidence, whatever the order of the edges."""

from __future__ import annotations

import itertools
import random
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from ecclip.catalog.group.cut import split_component

Edge = tuple[str, str, float, bool]
NODES = [f"n{number}" for number in range(9)]


@st.composite
def graphs(draw: st.DrawFn) -> list[Edge]:
    pairs = draw(st.lists(st.sampled_from(list(itertools.combinations(NODES, 2))), max_size=20))
    weights = st.sampled_from([0.1, 0.2, 0.5, 0.9])
    return [(left, right, draw(weights), draw(st.integers(0, 5)) == 0) for left, right in pairs]


def naive(edges: list[Edge], cap: int) -> dict[str, str]:
    """Join sets of nodes from the strongest edge to the weakest."""
    parts = [{node} for node in {node for edge in edges for node in edge[:2]}]
    for left, right, _, fixed in sorted(edges, key=lambda edge: (not edge[3], -edge[2], edge[:2])):
        one, two = (next(part for part in parts if node in part) for node in (left, right))
        if one is not two and (fixed or len(one) + len(two) <= cap):
            parts = [part for part in parts if part is not one and part is not two] + [one | two]
    return {node: min(part) for part in parts for node in part}


@given(graphs(), st.integers(2, 6), st.randoms(use_true_random=False))
@settings(max_examples=150, deadline=None, derandomize=True)
def test_the_split_is_that_of_the_slow_twin_in_any_order(edges: list[Edge], cap: int, chance: random.Random) -> None:
    shuffled = edges.copy()
    chance.shuffle(shuffled)
    found = split_component(shuffled, cap)
    assert found == naive(edges, cap)
    shop = naive([edge for edge in edges if edge[3]], 0)
    for part, size in Counter(found.values()).items():
        names = {shop.get(node, node) for node, own in found.items() if own == part}
        assert size <= cap or len(names) == 1  # only what the shop joined is larger
    for left, right, _, always in edges:
        assert not always or found[left] == found[right]


def test_a_chain_is_cut_at_its_weakest_edge() -> None:
    chain = [("a", "b", 0.9, False), ("b", "c", 0.8, False), ("c", "d", 0.2, False), ("d", "e", 0.7, False)]
    assert split_component(chain, 3) == {"a": "a", "b": "a", "c": "a", "d": "d", "e": "d"}


def test_what_the_shop_joined_stays_whole() -> None:
    star = [("a", name, 1.0, True) for name in "bcdef"]
    assert set(split_component([*star, ("f", "g", 0.9, False)], 3).values()) == {"a", "g"}
