"""What the rooms hand to each other says its schema: another one is refused with the way out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from snapshots import write_snapshot

from ecclip.errors import ContractError, IntegrityError
from ecclip.formats.bundle import Bundle, read_heads, write_heads
from ecclip.formats.documents import read_document, write_document
from ecclip.formats.embeddings import Origin, read_origin, write_origin
from ecclip.formats.pair_scores import read_agreements, write_pair_scores
from ecclip.formats.report import TaskReport
from ecclip.formats.shards import COLUMNS, Shards, write_shards
from ecclip.formats.snapshot import Recipes, read_recipes, write_recipes
from ecclip.formats.start import Start, read_start, write_start


def test_a_document_comes_back_and_names_its_schema(tmp_path: Path) -> None:
    write_document(tmp_path / "a.json", "ecclip.a/1", {"one": 1})
    assert read_document(tmp_path / "a.json", "ecclip.a/1", "") == {"schema": "ecclip.a/1", "one": 1}
    with pytest.raises(ContractError, match=r"a\.json; value: ecclip\.a/1; limit: ecclip\.a/2; next: run a again"):
        read_document(tmp_path / "a.json", "ecclip.a/2", "run a again")


@pytest.mark.parametrize("content", ["", "[]", "{", None])
def test_a_file_that_is_no_document_is_named(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "a.json").write_text(content)
    with pytest.raises(IntegrityError, match=r"a\.json.*next: run a"):
        read_document(tmp_path / "a.json", "ecclip.a/1", "run a")


def _origin(folder: Path) -> Callable[[], Any]:
    write_origin(Origin("s", "t", "w"), folder)
    return lambda: read_origin(folder)


def _shards(folder: Path) -> Callable[[], Any]:
    write_shards(folder, [])
    return lambda: Shards(folder)


def _start(folder: Path) -> Callable[[], Any]:
    write_start(Start(), folder)
    return lambda: read_start(folder)


def _recipes(folder: Path) -> Callable[[], Any]:
    write_recipes(Recipes("p", "t"), folder)
    return lambda: read_recipes(folder)


def _report(folder: Path) -> Callable[[], Any]:
    Bundle(folder).write_report(TaskReport(metrics={"a/both/top1": 0.5}, lineage={"towers": "t"}, rows={"test": 2}))
    return Bundle(folder).report


def _heads(folder: Path) -> Callable[[], Any]:
    write_heads(folder, {"dim": 4, "heads": []})
    return lambda: read_heads(folder)


@pytest.mark.parametrize("write", [_origin, _shards, _start, _recipes, _report, _heads])
@pytest.mark.parametrize("schema", ["ecclip.other/1", None])
def test_every_reader_refuses_a_schema_that_it_does_not_know(
    tmp_path: Path, write: Callable[[Path], Callable[[], Any]], schema: str | None
) -> None:
    read = write(tmp_path)
    read()
    (path,) = tmp_path.glob("*.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema": schema}))
    with pytest.raises(ContractError, match=rf"{path.name}.*next: run .* or use the version of ecclip"):
        read()


@pytest.mark.parametrize(
    ("write", "field", "value"),
    [
        (_origin, "trained", None),
        (_recipes, "text", 3),
        (_report, "metrics", []),
        (_report, "metrics", {"a/both/top1": "0.5"}),
        (_report, "lineage", None),
        (_report, "rows", "none"),
    ],
)
def test_a_field_that_cannot_be_used_is_named_with_its_file(
    tmp_path: Path, write: Callable[[Path], Callable[[], Any]], field: str, value: Any
) -> None:
    read = write(tmp_path)
    (path,) = tmp_path.glob("*.json")
    found = json.loads(path.read_text())
    named = next(iter(value)) if isinstance(value, dict) else field
    for content in ({**found, field: value}, {name: found[name] for name in found if name != field}):
        path.write_text(json.dumps(content))
        with pytest.raises(
            IntegrityError, match=rf"({named}|{field}) of .*{path.name}.*next: run .* again|run the stage"
        ):
            read()


def test_heads_of_a_champion_from_before_their_schema_had_a_name_are_read(tmp_path: Path) -> None:
    write_heads(tmp_path / "heads", {"dim": 4})
    path = tmp_path / "heads" / "heads.json"
    assert json.loads(path.read_text()) == Bundle(tmp_path).described_heads() == {"schema": "ecclip.heads/1", "dim": 4}
    path.write_text('{"dim": 4}')
    assert Bundle(tmp_path).described_heads() == {"dim": 4}
    path.write_text('{"dim": 4, "schema": "ecclip.heads/2"}')
    with pytest.raises(ContractError, match=r"heads/2; limit: ecclip\.heads/1; next: run export of its night again"):
        Bundle(tmp_path).described_heads()


def test_recipes_and_reports_come_back(tmp_path: Path) -> None:
    assert _recipes(tmp_path)() == Recipes("p", "t")
    report = _report(tmp_path)()
    assert report == TaskReport(metrics={"a/both/top1": 0.5}, lineage={"towers": "t"}, rows={"test": 2})


def test_a_start_carries_the_towers_themselves(tmp_path: Path) -> None:
    towers = tmp_path / "bundle" / "towers"
    (towers / "below").mkdir(parents=True)
    (towers / "below" / "weights").write_bytes(b"w")
    write_start(Start(version="3", bundle="abc", towers=towers), tmp_path / "start")
    (towers / "below" / "weights").unlink()
    found = read_start(tmp_path / "start")
    assert (found.kind, found.version, found.bundle) == ("champion", "3", "abc")
    assert found.towers is not None
    assert (found.towers / "below" / "weights").read_bytes() == b"w"
    (found.towers / "below" / "weights").unlink()
    (found.towers / "below").rmdir()
    found.towers.rmdir()
    with pytest.raises(IntegrityError, match="towers"):
        read_start(tmp_path / "start")


def test_scores_come_back_in_order_without_those_that_are_no_numbers(tmp_path: Path) -> None:
    given = np.array([2.0, np.nan, 1.0], np.float32)
    write_pair_scores(["b", "c", "a"], given, given, tmp_path)
    assert read_agreements(tmp_path).to_pylist() == [
        {"listing_id": "a", "agreement": 1.0},
        {"listing_id": "b", "agreement": 2.0},
    ]
    assert read_agreements(tmp_path / "none").num_rows == 0
    (tmp_path / "pairs.parquet").write_bytes(b"PAR1")
    with pytest.raises(IntegrityError, match=r"pairs\.parquet"):
        read_agreements(tmp_path)


def test_shards_give_back_the_rows_and_find_each(tmp_path: Path) -> None:
    shards = Shards(write_snapshot(tmp_path, 600).joinpath("shards"))
    ids = [one for batch in shards.batches(["listing_id"]) for one in batch.column(0).to_pylist()]
    assert len(ids) == sum(shard.rows for shard in shards.shards) > 300
    place = shards.find(ids[-1])
    assert place == {"file": shards.shards[-1].file, "row": shards.shards[-1].rows - 1}
    assert shards.find("nobody") is None
    assert next(shards.batches(COLUMNS.names)).schema.names == COLUMNS.names
