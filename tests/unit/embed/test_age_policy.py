"""The policy file of age restriction: what is wrong in it is said with its line, and which labels follow from it."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ecclip.core import ConfigError
from ecclip.embed.age_policy import PACKAGED, read_age_policy
from ecclip.embed.borders import border_alone, border_light
from ecclip.formats.embeddings import Prompts
from ecclip.formats.policies.age import AgePolicy, load_age_policy, write_age_policy

POLICY = """\
version: 3
false_positive_rate: 0.02
labels:
  attribute: Altersklasse
  unrestricted: [frei]
classes:
  alcohol:
    minimum_age: 18
    false_positive_rate: 0.005
    descriptions: [a bottle of wine, beer]
    values: [Alkohol]
    categories: [Food > Drinks > Wine, [food, beer]]
  knives:
    values: [Messer]
"""


def policy_of(tmp_path: Path, text: str = POLICY) -> AgePolicy:
    (tmp_path / "age.yaml").write_text(text)
    return read_age_policy(tmp_path, "age.yaml")


def test_the_packaged_policy_has_the_usual_classes_in_words(tmp_path: Path) -> None:
    policy = read_age_policy(tmp_path, PACKAGED)
    assert {"alcohol", "tobacco", "knives", "adult"} <= {one.name for one in policy.classes}
    assert all(one.descriptions and one.minimum_age for one in policy.classes)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("minimum_age: 18", "minimal_age: 18", r"minimal_age.*age\.yaml:8"),
        ("minimum_age: 18", "minimum_age: young", r"minimum_age.*age\.yaml:8.*young"),
        ("rate: 0.005", "rate: 0.7", r"false_positive_rate.*less than 0\.5.*age\.yaml:9"),
        ("values: [Messer]", "values: [alkohol]", r"alcohol and knives.*age\.yaml:13.*'alkohol'"),
        ("values: [Messer]", "values: [Frei]", r"labels\.unrestricted and knives"),
        ("knives:", "Knives!:", r"Knives!.*age\.yaml:13"),
        ("version: 3", "version: 0", r"version.*age\.yaml:1"),
        ("  knives:\n    values: [Messer]\n", "  alcohol: {}\n", r"alcohol stands here and in line 7"),
    ],
)
def test_what_is_wrong_is_said_with_its_line_and_the_next_step(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in POLICY
    with pytest.raises(ConfigError, match=f"(?s){said}") as error:
        policy_of(tmp_path, POLICY.replace(old, new))
    assert "next:" in str(error.value)


@pytest.mark.parametrize("name", ["other.yaml", "../age.yaml", ""])
def test_a_file_that_is_not_there_is_named_with_those_that_are(tmp_path: Path, name: str) -> None:
    (tmp_path / "policies").mkdir()
    (tmp_path / "age.yaml").write_text(POLICY)
    (tmp_path / "policies" / "mine.yaml").write_text(POLICY)
    with pytest.raises(ConfigError, match=r"packaged, mine\.yaml"):
        read_age_policy(tmp_path / "policies", name)


@pytest.mark.parametrize(
    ("flag", "attributes", "category", "expected"),
    [
        (None, {}, None, (None, None)),
        (False, {}, None, (False, False)),
        (True, {}, None, (None, None)),  # of which class the flag does not say
        (None, {"Altersklasse": "ALKOHOL"}, None, (True, False)),
        (True, {"Altersklasse": "frei"}, None, (False, False)),
        (None, {"Altersklasse": "what?"}, None, (None, None)),
        (False, {}, ["Food", "Drinks", "Wine", "Red"], (True, False)),
        (None, {}, ["Food", "Drinks"], (False, None)),  # knives name no category
        (None, {}, ["food", "beer"], (True, None)),
        (False, {"age:alcohol": "no", "age:knives": "yes"}, ["food", "beer"], (False, True)),  # a person's word
    ],
)
def test_the_first_that_says_something_of_a_class_decides(
    tmp_path: Path,
    flag: bool | None,
    attributes: dict[str, str],
    category: list[str] | None,
    expected: tuple[bool | None, bool | None],
) -> None:
    policy = policy_of(tmp_path)
    assert tuple(policy.label(one, flag, attributes, category) for one in policy.classes) == expected


def test_what_is_written_beside_embeddings_comes_back_with_the_mean_of_each_class(tmp_path: Path) -> None:
    policy = policy_of(tmp_path)
    vectors = np.array([[1, 0], [0, 1]], np.float32)
    write_age_policy(policy, Prompts(["a bottle of wine", "beer"], vectors, vectors, joint=True), tmp_path / "embed")
    found = load_age_policy(tmp_path / "embed")
    assert found is not None
    assert found.policy == policy
    np.testing.assert_allclose(found.embeddings, [[0.5**0.5, 0.5**0.5], [0, 0]], atol=1e-6)
    assert [one.false_positive_rate for one in policy.classes] == [0.005, 0.02]
    assert load_age_policy(tmp_path) is None


def test_a_border_alone_keeps_the_border_and_nothing_of_the_middle() -> None:
    def photo(middle: tuple[int, int, int]) -> bytes:
        image, buffer = Image.new("RGB", (120, 80), (250, 250, 250)), io.BytesIO()
        image.paste(middle, (30, 20, 90, 60))
        image.save(buffer, "JPEG", quality=95)
        return buffer.getvalue()

    assert border_alone(photo((255, 0, 0))) == border_alone(photo((0, 0, 255)))
    with Image.open(io.BytesIO(border_alone(photo((255, 0, 0))))) as cut:
        assert cut.size == (120, 80)
        assert np.abs(np.asarray(cut).astype(int) - 250).max() < 10
    light, deviation = border_light(photo((255, 0, 0)))
    assert (light, deviation) == (pytest.approx(250, abs=2), pytest.approx(0, abs=3))
