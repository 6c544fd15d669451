"""Labels of two bundles become classes that both can answer, at the deepest level that both know."""

from __future__ import annotations

from typing import Any

import pytest

from ecclip.tasks.report.common import common_classes

BEFORE = ["home/mugs", "home/lamps", "garden/pots", "garden/tools"]


def _paths(labels: list[str]) -> list[list[str]]:
    return [label.split("/") for label in labels]


def _named(paths: tuple[tuple[Any, ...], ...], classes: Any) -> list[str]:
    return ["/".join(paths[number]) if number >= 0 else "-" for number in classes.tolist()]


@pytest.mark.parametrize(
    ("now", "ours", "theirs"),
    [
        (BEFORE, BEFORE, BEFORE),
        (BEFORE[::-1], BEFORE[::-1], BEFORE),
        # finer: what is below mugs is compared as mugs
        (["home/mugs/travel", "home/mugs/tea", *BEFORE[1:]], ["home/mugs", "home/mugs", *BEFORE[1:]], BEFORE),
        # coarser: and what was below it
        (["home", *BEFORE[2:]], ["home", *BEFORE[2:]], ["home", "home", *BEFORE[2:]]),
        # renamed, split and merged below a root: as that root, beside what both know of it
        (["home/cups", *BEFORE[1:]], ["home", *BEFORE[1:]], ["home", *BEFORE[1:]]),
        (["home/tea", "home/coffee", *BEFORE[1:]], ["home", "home", *BEFORE[1:]], ["home", *BEFORE[1:]]),
        (["home/decor", *BEFORE[2:]], ["home", *BEFORE[2:]], ["home", "home", *BEFORE[2:]]),
        # moved to a deeper place
        (["home/kitchen/mugs", *BEFORE[1:]], ["home", *BEFORE[1:]], ["home", *BEFORE[1:]]),
        # only new, only gone, another root: nothing is known to both
        ([*BEFORE, "home/vases"], [*BEFORE, "-"], BEFORE),
        (BEFORE[1:], BEFORE[1:], ["-", *BEFORE[1:]]),
        (["yard/pots", "yard/tools", *BEFORE[:2]], ["-", "-", *BEFORE[:2]], [*BEFORE[:2], "-", "-"]),
        (["a", "b"], ["-", "-"], ["-"] * 4),
    ],
)
def test_labels_are_lifted_until_both_have_something_there(now: list[str], ours: list[str], theirs: list[str]) -> None:
    found = common_classes(_paths(now), _paths(BEFORE))
    assert _named(found.paths, found.ours) == ours
    assert _named(found.paths, found.theirs) == theirs
    mirrored = common_classes(_paths(BEFORE), _paths(now))
    assert (mirrored.ours.tolist(), mirrored.theirs.tolist()) == (found.theirs.tolist(), found.ours.tolist())


def test_a_path_that_neither_knows_is_in_the_class_above_it() -> None:
    found = common_classes(_paths(["home/mugs/travel", "garden/pots"]), _paths(["home/mugs", "garden/tools"]))
    names = {"/".join(path): number for number, path in enumerate(found.paths)}
    assert names.keys() == {"home/mugs", "garden"}
    assert found.class_of(["home", "mugs", "rare"]) == names["home/mugs"]
    assert found.class_of(["garden", "rare"]) == names["garden"]
    assert (found.class_of(["home", "rare"]), found.class_of([])) == (-1, -1)


def test_values_are_compared_where_both_know_them_and_not_present_is_one() -> None:
    found = common_classes([None, "blue", "red"], [None, "blue", "navy"])
    assert found.paths == (("blue",), (None,))
    assert (found.ours.tolist(), found.theirs.tolist()) == ([1, 0, -1], [1, 0, -1])
