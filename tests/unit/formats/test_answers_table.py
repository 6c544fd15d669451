"""The table of a catalog's answers, as the house writes it and as others read it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pandas
import pyarrow as pa
import pytest

from ecclip.catalog.spark.session import spark_session
from ecclip.core import ContractError, IntegrityError
from ecclip.formats.answers import COLUMNS, AnsweredBy, read_answers, read_origin, row_of, write_answers

pytestmark = pytest.mark.spark

BY = AnsweredBy(bundle="b" * 64, lineage_id="b" * 16)
OUTPUTS: dict[str, Any] = {
    "CATEGORY": [["home", "mugs"], ["home", "lamps"]],
    "CATEGORY_SCORE": [0.75, 0.25],
    "CATEGORY_ID": ["47", "lamps"],
    "CATEGORY_SUGGESTED": [
        {"path": ["garden", "gnomes"], "id": "gnomes", "score": 0.75, "zero_shot": True, "decision": "review"}
    ],
    "ATTRIBUTES": {"size": {"value": None, "score": None}, "color": {"value": "red", "score": 0.5}},
    "AGE_RESTRICTED": {"restricted": True, "classes": ["alcohol"], "suspected": [], "minimum_age": 18},
    "AGE_RESTRICTED_SCORE": 0.125,
    "AGE_CLASS": ["age_restricted", "alcohol"],
    "AGE_CLASS_SCORE": [0.125, 0.0625],
    "AGE_CLASS_BASIS": ["labels", "labels"],
    "OTHER_TASKS": {"room": {"value": ["kitchen", "table"], "score": 0.5}},
    "DECISION": {
        "category": "auto", "attribute:color": "review", "attribute:size": "unknown", "age_restricted": "auto",
        "room": "review",
    },
    "LINEAGE": BY.lineage_id,
}  # fmt: skip
LISTS = ("category_suggested", "attributes", "age_classes", "other_tasks")
UNKNOWN = OUTPUTS | {
    "CATEGORY": [],
    "CATEGORY_SCORE": [],
    "CATEGORY_ID": [],
    "CATEGORY_SUGGESTED": [],
    "ATTRIBUTES": {},
    "OTHER_TASKS": {},
    "DECISION": {},
}


@pytest.fixture
def answered(tmp_path: Path) -> Path:
    older = {name: value for name, value in UNKNOWN.items() if not name.startswith("AGE_")}
    rows = [row_of("l2", "q2", OUTPUTS), row_of("l1", "q1", older | {"AGE_RESTRICTED_SCORE": None})]
    refused = [{"listing_id": "l3", "reason": "nothing", "error": "neither", "question_sha256": "q3"}]
    write_answers(pa.Table.from_pylist(rows, schema=COLUMNS), refused, BY, tmp_path / "answers")
    return tmp_path / "answers"


def test_a_spark_job_reads_it_and_unknown_is_null(answered: Path) -> None:
    frame = spark_session(2).read.parquet(str(answered / "answers.parquet"))
    first, second = frame.orderBy("listing_id").collect()
    assert [first[name] for name in frame.columns if name not in LISTS] == [
        "l1", None, None, None, None, None, None, None, None, BY.lineage_id, "q1",
    ]  # fmt: skip
    assert [first[name] for name in LISTS] == [[], [], [], []]
    assert second["age_restricted"]
    assert [tuple(one) for one in second["age_classes"]] == [
        ("age_restricted", 0.125, "labels", False, "auto"),
        ("alcohol", 0.0625, "labels", True, None),
    ]
    category = [second[name] for name in ("category", "category_score", "category_decision", "category_id")]
    assert category == [["home", "mugs"], 0.75, "auto", "47"]
    assert [tuple(one) for one in second["category_suggested"]] == [(["garden", "gnomes"], "gnomes", 0.75)]
    exploded = frame.selectExpr("listing_id", "inline(attributes)").orderBy("name").collect()
    assert [tuple(row) for row in exploded] == [
        ("l2", "color", "red", 0.5, "review", "labels"),
        ("l2", "size", None, None, "unknown", "unknown"),
    ]
    assert [tuple(one) for one in second["other_tasks"]] == [("room", "kitchen > table", 0.5, "review")]


def test_pandas_reads_it_and_the_house_what_it_wrote(answered: Path) -> None:
    frame = pandas.read_parquet(answered / "answers.parquet")
    assert frame["listing_id"].tolist() == ["l1", "l2"]
    assert math.isnan(frame["age_restricted_score"][0])
    table, refused = read_answers(answered)
    assert table.schema.equals(COLUMNS)
    assert refused["reason"].to_pylist() == ["nothing"]
    assert read_origin(answered) == BY


def test_another_schema_and_a_cut_file_are_refused_by_name(answered: Path) -> None:
    path = answered / "answers.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(IntegrityError, match=r"answers\.parquet"):
        read_answers(answered)
    record = answered / "answers.json"
    record.write_text(record.read_text().replace("answers/1", "answers/9"))
    with pytest.raises(ContractError, match="answers/9"):
        read_answers(answered)
