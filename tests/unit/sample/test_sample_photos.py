"""Photos carry what the truth says: colour and shape are in the pixels, not noise."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from ecclip.sample.appearance import Appearance
from ecclip.sample.shape import drawn
from ecclip.sample.words import COLORS, LEAVES


def appearance(leaf: str, number: int, color: str = "red") -> Appearance:
    return Appearance(f"test/{number}", leaf, color, "white", "plain", "cotton", _kind(leaf), "Norvik", "Nova 1")


def _kind(leaf: str) -> str:
    return LEAVES[leaf].kinds[0][0] if LEAVES[leaf].kinds else ""


def silhouette(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture.getchannel("a").resize((32, 32))) > 127


@pytest.mark.parametrize("leaf", LEAVES)
def test_every_leaf_draws_a_whole_thing_inside_the_canvas(leaf: str) -> None:
    for number in range(4):
        shape = silhouette(drawn(appearance(leaf, number)))
        assert 0.06 < shape.mean() < 0.75
        assert not shape[0].any()


def test_silhouettes_of_one_leaf_are_nearer_to_each_other_than_to_other_leaves() -> None:
    leaves = ("t-shirt", "dress", "handbag", "lamp", "wine")
    shapes = [(leaf, silhouette(drawn(appearance(leaf, number)))) for leaf in leaves for number in range(5)]
    right = 0
    for place, (leaf, shape) in enumerate(shapes):
        others = [(np.mean(shape != other), name) for index, (name, other) in enumerate(shapes) if index != place]
        right += min(others)[1] == leaf
    assert right >= 0.8 * len(shapes)


@pytest.mark.parametrize("color", ["red", "green", "blue", "black", "white"])
def test_the_colour_of_a_plain_shirt_is_the_named_one(color: str) -> None:
    pixels = np.asarray(drawn(appearance("t-shirt", 1, color)).convert("RGBA"))
    seen = np.median(pixels[pixels[..., 3] == 255][:, :3], axis=0)
    distances = {name: float(np.abs(seen - np.array(value)).sum()) for name, value in COLORS.items()}
    assert min(distances, key=lambda name: distances[name]) == color
