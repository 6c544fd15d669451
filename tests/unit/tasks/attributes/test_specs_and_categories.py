"""What specs state, deny and leave open; which attributes a category has; what of that teaches a head."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ecclip.tasks import EvaluateConfig, Rows
from ecclip.tasks.attributes import stated
from ecclip.tasks.attributes.applicable import Applicable, learn_applicable
from ecclip.tasks.kinds import Target, task_named
from ecclip.tasks.kinds.task import NO_LABEL, OUTSIDE

CFG = EvaluateConfig()


def test_a_value_no_value_and_no_knowledge_are_three_things() -> None:
    specs = [("Material", "N/A"), ("Brand", "unknown"), ("Colour", "—"), ("Waterproof", "no"), ("Volume", "500ML")]
    assert stated(specs) == {"Material": (), "Waterproof": ("no",), "Volume": ("500 ml",)}
    assert stated([("Size", "해당 없음"), ("Fit", "  Not   Applicable ")]) == {"Size": (), "Fit": ()}
    assert stated(None) is None
    assert stated([]) is None


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ('["red", "blue"]', {"a": ("red", "blue")}),
        ('["red", null, "n/a"]', {"a": ("red",)}),
        ('{"value": 5, "unit": "KG"}', {"a": ("5 kg",)}),
        ('{"Height": "3CM", "Width": {"value": 2, "unit": "cm"}}', {"a Height": ("3 cm",), "a Width": ("2 cm",)}),
        ("[broken", {"a": ("[broken",)}),
        ("[not, json]", {"a": ("[not, json]",)}),
        ("true", {"a": ("true",)}),
    ],
)
def test_specs_inside_specs_are_taken_apart(value: str, found: dict[str, Any]) -> None:
    assert stated([("a", value)]) == found


def test_a_name_applies_where_listings_state_it_and_a_small_category_is_its_parent() -> None:
    shoes = [(("fashion", "shoes"), {"size", "colour"})] * 30 + [(("fashion", "shoes"), {"colour", "slip"})]
    bags = [(("fashion", "bags"), {"volume", "colour"})] * 30
    few = [(("fashion", "hats"), {"brim"})] * 4
    applicable = Applicable(learn_applicable([*shoes, *bags, *few], 20, 3, 0.02))
    assert applicable.of(("fashion", "shoes", "boots")) == {"size", "colour"}, "one listing is not enough for slip"
    assert applicable.of(("fashion", "bags")) == {"volume", "colour"}
    assert applicable.of(("fashion", "hats")) == {"size", "colour", "volume", "brim"}
    assert applicable.of(None) == {"size", "colour", "volume", "brim", "slip"}, "nobody knows the category"
    assert applicable.asked([["fashion", "shoes"], ["fashion", "bags"]], [0.7, 0.2]) == {"size", "colour"}
    assert applicable.asked([["fashion", "shoes"], ["fashion", "bags"]], [0.4, 0.4]) == {"size", "colour", "volume"}
    assert Applicable().asked([["fashion"]], [1.0]) is None, "an older bundle asks for all"


def _targets(listings: list[tuple[str, list[tuple[str, str]] | None]]) -> dict[str, Target]:
    count = len(listings)
    rows = Rows(
        listing_ids=np.array([f"l{number}" for number in range(count)], dtype=object),
        titles=[""] * count,
        given={
            "category": [[category] for category, _ in listings],
            "attributes": [specs for _, specs in listings],
            "description": [None] * count,
        },
        groups=np.arange(count),
        split=np.full(count, "train"),
        image=np.zeros((count, 2), np.float32),
        text=np.zeros((count, 2), np.float32),
    )
    return {target.name.removeprefix("attribute:"): target for target in task_named("attributes").targets(rows, CFG)}


def _shop(*, silent: bool) -> list[tuple[str, list[tuple[str, str]] | None]]:
    """Return shoes with a sole, or none, and mugs, which have no sole; two shoes have no specs, or none of the sole."""
    colour = ("colour", "red")
    soles = [[colour, ("sole", name)] for name in ("rubber", "leather") for _ in range(20)]
    none = [[colour] if silent else [colour, ("sole", "n/a")]] * 20
    colours = [[("colour", name)] for name in ("red", "blue") for _ in range(20)]
    shoes: list[list[tuple[str, str]] | None] = [*soles, *none, None, [colour]]
    return [*(("shoes", specs) for specs in shoes), *(("mugs", specs) for specs in colours)]


@pytest.mark.parametrize("silent", [True, False])
def test_absence_is_learnt_where_it_is_known_and_an_attribute_applies(silent: bool) -> None:
    sole = _targets(_shop(silent=silent))["sole"]
    assert sole.labels == [None, "leather", "rubber"]
    assert sole.y[:60].tolist() == [2] * 20 + [1] * 20 + [0] * 20
    assert sole.y[60] == NO_LABEL, "without specs nothing is known"
    assert sole.y[61] == (0 if silent else NO_LABEL), "silence says nothing in a shop that writes n/a"
    assert set(sole.y[62:]) == {NO_LABEL}, "mugs have no sole: it is not asked for"


def test_a_listing_with_several_values_is_right_with_one_of_them_and_scattered_ones_are_not_listed() -> None:
    specs = [[("colour", '["red","blue"]')], [("colour", "pink")], *([("colour", "red")] for _ in range(20))]
    specs += [[("colour", "blue"), ("model", f"M{number}")] for number in range(40)]
    found = _targets([("mugs", one) for one in specs])
    assert found.keys() == {"colour"}
    assert found["colour"].labels == ["blue", "red"]
    assert found["colour"].y[:3].tolist() == [0, OUTSIDE, 1]
