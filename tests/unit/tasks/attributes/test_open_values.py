"""Open values: read out of titles that training never saw, from a night's labels to the answer of the bundle."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from ecclip.tasks import EvaluateConfig, evaluate, load_heads
from ecclip.tasks.attributes import spans_of, words_of
from ecclip.tasks.decision import Decider
from ecclip.tasks.kinds import TASKS, Query

CFG = EvaluateConfig(bootstrap_rounds=20, auto={"precision": 0.8})


def _number(title: str) -> str:
    return next(word for word in title.split() if word.isdigit())


def _with_model(row: dict[str, Any]) -> None:
    """Give most listings a model in their title, a third of them in their specs in another spelling."""
    number = int(_number(row["title"]))
    plain, row["title"] = row["title"], row["title"].replace(str(number), f"Mx{number} pro")
    if number % 5 == 0:
        row["title"] = plain
        row["attributes"] = [*row["attributes"], ("model", "n/a")]
    elif number % 7:
        row["attributes"] = [*row["attributes"], ("model", f"MX{number} Pro" if number % 3 else f"Mx{number} pro")]


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    from known_embeddings import write_embeddings
    from snapshots import change_listings, write_snapshot

    folder = tmp_path_factory.mktemp("open")
    snapshot = write_snapshot(folder / "snapshot", listings=400)
    change_listings(snapshot, _with_model)
    evaluate(CFG, snapshot, write_embeddings(snapshot, folder / "embedded"), folder / "evaluate")
    return folder / "evaluate", pq.read_table(snapshot / "listings").to_pylist()


def test_models_of_test_listings_are_read_out_of_their_titles(
    evaluated: tuple[Path, list[dict[str, Any]]],
) -> None:
    folder, rows = evaluated
    heads = load_heads(folder / "heads")
    assert "attribute:model" not in {head.name for head in heads.parts}, "no list holds its values"
    decider, right = Decider(heads.describe(), TASKS), []
    for row in (one for one in rows if one["split"] == "test"):
        answer = decider.answer(np.zeros(decider.columns), "text", Query(row["title"], None))
        model, number = answer["ATTRIBUTES"]["model"], int(_number(row["title"].replace("Mx", "")))
        assert answer["DECISION"]["attribute:model"] in ("auto", "review")
        wanted = None if number % 5 == 0 else f"mx{number} pro"
        right.append((model["value"] and model["value"].casefold()) == wanted)
        assert (model.get("source") == "title") == (model["value"] is not None)
    assert np.mean(right) > 0.9


def test_the_report_says_how_open_values_are_read(evaluated: tuple[Path, list[dict[str, Any]]]) -> None:
    folder, rows = evaluated
    report = json.loads((folder / "report.json").read_text())
    metrics = report["metrics"]
    stated = [row for row in rows if row["split"] == "test" and "model" in dict(row["attributes"])]
    assert report["rows"]["attribute:model/text/test"] == len(stated)
    assert metrics["attribute:model/text/f1"] > 0.9
    assert metrics["open_values/text/f1"] == metrics["attribute:model/text/f1"], "it is the only one"
    assert metrics["attribute:model/text/auto_coverage"] > 0.5, "the promise can be proven"
    assert "model" in (folder / "report.html").read_text()


def test_words_keep_decimals_and_units_and_no_span_begins_or_ends_with_a_separator() -> None:
    words = words_of("Men's 3.5g/12cm, 빨간 no.5 50%")
    assert words.written == ("Men's", "3.5g", "/", "12cm", ",", "빨간", "no", ".", "5", "50", "%")
    found = {words.span(first, stop) for first, stop in spans_of(words)}
    assert {"Men's", "3.5g/12cm", "no.5", "50%", "12cm, 빨간"} <= found
    assert not {"3.5g/", "/12cm", ", 빨간"} & found


def test_a_shop_whose_texts_hold_no_value_has_no_reader(make_snapshot: Callable[..., Path], tmp_path: Path) -> None:
    folder = make_snapshot(60, lambda row: row.update(attributes=[("code", row["listing_id"])]))
    evaluate(CFG, folder, tmp_path / "embedded", tmp_path / "evaluate")
    assert load_heads(tmp_path / "evaluate" / "heads").open == {}
    assert "open_values" in json.loads((tmp_path / "evaluate" / "report.json").read_text())["missing"]
