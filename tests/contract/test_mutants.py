"""What the mutants change and which tests must notice it is there, and every room has its place on the page."""

from __future__ import annotations

from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
PLAN = yaml.safe_load((ROOT / "tests" / "mutants.yaml").read_text())


def test_the_plan_names_files_that_exist_and_the_page_has_each_room() -> None:
    named = [name for room in PLAN["rooms"].values() for name in (*room["modules"], *room["tests"]) if "/" in name]
    assert [name for name in named if not (ROOT / name).is_file()] == []
    page = (ROOT / "docs" / "mutants.md").read_text()
    for room in PLAN["rooms"]:
        assert page.index(f"<!-- survivors: {room} -->") < page.index(f"<!-- end of {room} -->")
