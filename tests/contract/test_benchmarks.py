"""The docs show the committed figures; the lock of the peer is the extra's."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from ecclip.bench import fill_tables, read_result

ROOT = Path(__file__).parents[2]
RESULTS = sorted((ROOT / "results").glob("*.json"))
PAGES = [path for path in sorted((ROOT / "docs").glob("*.md")) if "<!-- results:" in path.read_text()]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_the_tables_in_the_docs_are_those_of_the_results(path: Path) -> None:
    assert path.read_text() == fill_tables(path.read_text(), ROOT / "results"), "type: ecclip bench tables"


def test_every_committed_result_keeps_the_format_and_stands_in_the_docs() -> None:
    shown = {name for path in PAGES for name in re.findall(r"<!-- results: (\w+)[^>]* -->", path.read_text())}
    for path in RESULTS:
        result = read_result(path)
        assert path.stem in shown, path.name
        assert "+changes" not in result.commit, f"{path.name} was made from a tree that no commit holds"
        assert not {"--quick", "--tiny"} & set(result.command.split()), f"{path.name} says nothing"


def test_the_peer_is_locked_as_the_extra_names_it() -> None:
    extra = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["bench"]
    assert (ROOT / "requirements" / "bench.in").read_text().split() == extra
    for wanted in extra:
        name = re.split(r"[<>=~!]", wanted)[0]
        assert re.search(rf"^{re.escape(name)}==", (ROOT / "requirements" / "bench.txt").read_text(), re.MULTILINE)
