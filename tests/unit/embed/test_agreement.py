"""Photos and titles that belong together agree, whatever the order of the listings; exchanged ones do not."""

from __future__ import annotations

import numpy as np

from ecclip.embed.stage import agreements


def _pairs(count: int) -> tuple[list[str], np.ndarray, np.ndarray]:
    chance = np.random.default_rng(0)
    meaning = chance.normal(size=(count, 16))
    sides = [meaning + 0.6 * chance.normal(size=meaning.shape) for _ in "it"]
    image, text = (side / np.linalg.norm(side, axis=1, keepdims=True) for side in sides)
    return [f"l{number}" for number in range(count)], image.astype(np.float32), text.astype(np.float32)


def test_exchanged_titles_agree_less_than_own_ones() -> None:
    ids, image, text = _pairs(300)
    text[:20] = np.roll(text[:20], 1, axis=0)
    _, agreement = agreements(ids, image, text, references=100)
    assert np.quantile(agreement[:20], 0.9) < 1.5 < np.quantile(agreement[20:], 0.1)


def test_the_agreement_of_a_listing_does_not_depend_on_the_order_of_the_others() -> None:
    ids, image, text = _pairs(200)
    order = np.random.default_rng(1).permutation(200)
    whole = agreements(ids, image, text, references=50)
    other = agreements([ids[row] for row in order], image[order], text[order], references=50)
    for one, two in zip(whole, other, strict=True):
        np.testing.assert_allclose(one[order], two, atol=1e-5)
