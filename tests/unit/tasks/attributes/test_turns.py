"""Attributes whose values share no words: in turns, the surest first, and never two of them at one word."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecclip.tasks.attributes import Example, Spans, each_for_itself, in_turns, overlapping_pairs

# of the title "red silk scarf": every span of one or two words
PLACES = [(0, 1), (0, 2), (1, 2), (1, 3), (2, 3)]
TITLE = Spans(*np.array(PLACES).T)


def _logits(*columns: dict[tuple[int, int], float]) -> np.ndarray:
    """Return logits [S, A] of the title's spans; those that are not named are unlikely."""
    return np.array([[column.get(place, -20.0) for column in columns] for place in PLACES])


def test_the_surest_attribute_takes_its_span_and_the_other_the_next_one_that_is_left() -> None:
    better = _logits({(0, 2): 6.0, (0, 1): 2.0}, {(1, 2): 3.0, (2, 3): 2.0})
    alone, _ = each_for_itself(better)
    assert [PLACES[row] for row in alone] == [(0, 2), (1, 2)], "both read silk"
    rows, scores = in_turns(better, TITLE, np.zeros((2, 2), bool))
    assert [PLACES[row] for row in rows] == [(0, 2), (2, 3)]
    left = np.exp(2.0) / (np.exp(2.0) + 1)  # of scarf and none: what silk would have had is shared among them
    assert scores[1] == pytest.approx(left, abs=1e-6)


def test_attributes_whose_values_may_share_words_do() -> None:
    better = _logits({(0, 2): 6.0, (0, 1): 2.0}, {(1, 2): 3.0, (2, 3): 2.0})
    rows, scores = in_turns(better, TITLE, ~np.eye(2, dtype=bool))
    alone, shares = each_for_itself(better)
    assert (rows == alone).all()
    assert scores == pytest.approx(shares)


def test_an_attribute_that_is_hardly_there_takes_nothing() -> None:
    better = _logits({(0, 1): -7.0}, {(0, 1): -8.0})
    rows, scores = in_turns(better, TITLE, np.zeros((2, 2), bool))
    assert rows.tolist() == [0, 0]
    assert (scores < 0.01).all()


@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.integers(1, 9))
def test_no_two_values_share_a_word_and_scores_are_probabilities(seed: int, attributes: int, words: int) -> None:
    chance = np.random.default_rng(seed)
    places = [(first, stop) for first in range(words) for stop in range(first + 1, min(first + 4, words) + 1)]
    better = chance.normal(0.0, 4.0, (len(places), attributes))
    before = better.copy()
    rows, scores = in_turns(better, Spans(*np.array(places).T), np.zeros((attributes, attributes), bool))
    assert (better == before).all(), "what is read is not written"
    assert ((scores >= 0) & (scores <= 1 + 1e-9)).all()
    said = [places[row] for row, score in zip(rows, scores, strict=True) if score >= 0.05]
    taken = [word for first, stop in said for word in range(first, stop)]
    assert len(taken) == len(set(taken))


def _example(title: str, **stated: str) -> Example:
    return Example(title, None, "", {name: (value,) for name, value in stated.items()})


def test_pairs_whose_values_share_words_are_found_in_the_listings() -> None:
    apart = [_example(f"Arvo X{number} kettle", brand="Arvo", model=f"X{number}") for number in range(30)]
    shared = [_example(f"Belmo Z{number} pan", brand="Belmo", line=f"Belmo Z{number}") for number in range(3)]
    names = ["brand", "model", "line"]
    assert overlapping_pairs([*apart, *shared], names) == [["brand", "line"]]
    slip = _example("Arvo X7 Arvo kettle", brand="Arvo", model="Arvo X7")  # another Arvo stands apart
    assert overlapping_pairs([*apart, slip], names) == []
    assert overlapping_pairs([*apart, _example("Arvo kettle", brand="Arvo", model="Arvo")], names) == [], "one of 31"
