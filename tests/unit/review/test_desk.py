"""At the desk: what is looked at first, and what becomes of what people say."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from reviewed_nights import HOSTILE_TITLE, LAMPS, MUGS, NIGHT

from ecclip.core import ContractError
from ecclip.formats.corrections import in_effect, read_corrections
from ecclip.review.desk import Desk
from ecclip.review.drawing import Filter
from ecclip.review.files import export_questions, import_corrections

MUG_TEXT = " > ".join(MUGS)


def listing_ids(desk: Desk, wanted: Filter) -> list[str]:
    return [str(desk.night.rows.listing_ids[place]) for place in desk.places(wanted)]


def test_a_wrong_label_comes_first_where_labels_are_looked_for(desk: Desk, tmp_path: Path, wrong: str) -> None:
    wanted = Filter(order="label", decision="any")
    assert listing_ids(desk, wanted)[0] == wrong
    desk.correct(wrong, "category", MUG_TEXT)
    assert wrong not in listing_ids(desk, wanted)
    assert listing_ids(desk, Filter(order="label", decision="any", state="done")) == [wrong]
    said = in_effect(read_corrections(tmp_path / "corrections"))[wrong, "category", ""]
    assert (said.old, said.new, said.author, said.night) == (LAMPS, MUGS, "ann", NIGHT)


def test_the_least_certain_come_first_and_only_those_that_teach(desk: Desk) -> None:
    wanted = Filter(head="attribute:material", decision="any")
    places, answers = desk.places(wanted), desk.night.answers(desk.night.question(wanted.head))
    assert len(places) > 100
    assert {desk.night.rows.split[place] for place in places} == {"train"}
    assert np.all(np.diff(answers.margin[places]) >= 0)
    review, auto = (desk.places(Filter(head=wanted.head, decision=name)) for name in ("review", "auto"))
    assert sorted([*review, *auto]) == sorted(places)
    assert all(answers.auto[place] for place in auto)
    every = desk.places(Filter(head=wanted.head, decision="any", split="any"))
    assert {desk.night.rows.split[place] for place in every} > {"train"}


def test_photo_and_title_that_disagree_are_found_and_the_surest_pair_comes_first(desk: Desk) -> None:
    wanted = Filter(head="attribute:material", order="disagreement", decision="any", split="any")
    places, answers = desk.places(wanted), desk.night.answers(desk.night.question(wanted.head))
    assert places
    assert all(answers.image[place] != answers.text[place] for place in places)
    pairs = np.minimum(answers.image_score, answers.text_score)[places]
    assert np.all(np.diff(pairs) <= 0)


def test_the_next_one_is_the_next_that_is_open(desk: Desk) -> None:
    wanted = Filter(decision="any")
    first, second, third = desk.places(wanted)[:3]
    assert desk.beside(wanted, second) == (first, third)
    for place in (first, second):
        desk.correct(str(desk.night.rows.listing_ids[place]), "category", MUG_TEXT)
    assert desk.beside(wanted, second) == (None, third)
    assert desk.places(wanted)[0] == third


def test_a_filter_by_class_takes_what_is_answered_or_labelled_so(desk: Desk) -> None:
    wanted = Filter(decision="any", label=MUG_TEXT)
    question, places = desk.night.question("category"), desk.places(wanted)
    assert places
    number, answers = question.number(MUGS), desk.night.answers(question)
    assert all(answers.answer[place] == number or desk.night.given(question, place) == MUGS for place in places)


def test_what_the_night_does_not_know_is_named(desk: Desk, tmp_path: Path, wrong: str) -> None:
    for arguments, said in [
        ((wrong, "category", "home > cellar"), "home > cellar"),
        ((wrong, "attribute:size", "XL"), "attribute:size"),
        (("nobody", "category", MUG_TEXT), "nobody"),
    ]:
        with pytest.raises(ContractError, match=said):
            desk.correct(*arguments)
    with pytest.raises(ContractError, match="sideways"):
        Filter(order="sideways")  # type: ignore[arg-type]
    assert read_corrections(tmp_path / "corrections") == []


def test_a_spreadsheet_takes_no_cell_for_a_formula_and_brings_the_labels_back(
    desk: Desk, tmp_path: Path, wrong: str
) -> None:
    path = tmp_path / "questions.csv"
    assert export_questions(desk, Filter(order="label", decision="any"), path, 3)["questions"] >= 1
    rows = list(csv.reader(io.StringIO(path.read_text("utf-8-sig"), newline="")))
    assert not [cell for row in rows for cell in row if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
    header, first = rows[:2]
    assert dict(zip(header, first, strict=True))["title"] == f"'{HOSTILE_TITLE}"
    gone = ["gone", "category", *first[2:-1], MUG_TEXT]
    odd = [*first[:-1], "home > cellar"]
    with path.open("w", newline="") as file:  # as a spreadsheet of a country with decimal commas saves it
        csv.writer(file, delimiter=";").writerows([header, [*first[:-1], MUG_TEXT], gone, odd, *rows[2:]])
    counts = import_corrections(desk, path)
    left_open = {"left_open": len(rows) - 2} if len(rows) > 2 else {}
    assert counts == {"recorded": 1, "unknown_label": 1, "unknown_listing": 1, **left_open}
    assert import_corrections(desk, path)["unchanged"] == 1
    assert [(one.listing_id, one.new) for one in read_corrections(tmp_path / "corrections")] == [(wrong, MUGS)]


def test_the_file_names_a_category_without_examples_where_one_is_suggested(desk: Desk, tmp_path: Path) -> None:
    path, question = tmp_path / "questions.csv", desk.night.question("category")
    export_questions(desk, Filter(head="category", decision="any", split="any"), path, 1000)
    rows = list(csv.DictReader(io.StringIO(path.read_text("utf-8-sig"), newline="")))
    suggested = {row["listing_id"] for row in rows if row["suggested"] == "home > kitchen > beakers"}
    places = [desk.night.place(row["listing_id"]) for row in rows]
    assert suggested == {
        str(desk.night.rows.listing_ids[place]) for place in places if desk.night.suggested(question, place, 1)
    }
    assert 0 < len(suggested) < len(rows)


def test_label_studio_gets_a_category_without_examples_as_a_second_prediction(desk: Desk, tmp_path: Path) -> None:
    path, question = tmp_path / "tasks.json", desk.night.question("category")
    export_questions(desk, Filter(head="category", decision="any", split="any"), path, 1000)
    config = (tmp_path / "tasks.xml").read_text()
    counts = set()
    for task in json.loads(path.read_text()):
        place = desk.night.place(task["data"]["listing_id"])
        answer, *others = task["predictions"]
        assert not answer["model_version"].endswith(" suggested")
        counts.add(len(others))
        assert [one["result"][0]["value"]["taxonomy"][0] for one in others] == [
            label for label, _ in desk.night.suggested(question, place, 1)
        ]
        assert all(one["model_version"].endswith(" suggested") for one in others)
    assert counts == {0, 1}
    assert "beakers" in config


def test_a_file_of_something_else_is_refused(desk: Desk, tmp_path: Path) -> None:
    for name, text, said in [
        ("other.csv", "a,b\n1,2\n", "listing_id"),
        ("stranger.csv", "listing_id,task,correction\nx,category,home\n", "unknown_listing 1"),
        ("other.json", "{}x", "Label Studio"),
        ("other.json", '[{"annotations": [{"result": 1}]}]', "Label Studio"),
        ("other.xlsx", "", ".csv, .json"),
    ]:
        (tmp_path / name).write_text(text)
        with pytest.raises(ContractError, match=said):
            import_corrections(desk, tmp_path / name)


def test_label_studio_gets_photo_answer_and_labels_and_gives_annotations_back(
    desk: Desk, tmp_path: Path, wrong: str
) -> None:
    path = tmp_path / "tasks.json"
    export_questions(desk, Filter(order="label", decision="any"), path, 1)
    (task,) = json.loads(path.read_text())
    assert task["data"]["listing_id"] == wrong
    assert task["data"]["photo"].startswith("data:image/jpeg;base64,/9j/")
    answer = task["predictions"][0]["result"][0]
    assert answer["value"] == {"taxonomy": [MUGS]}
    config = ET.fromstring((tmp_path / "tasks.xml").read_text())
    (control,) = config.iter("Taxonomy")
    assert control.get("name") == answer["from_name"]
    assert [one.get("value") for one in control] == ["electronics", "fashion", "food", "home"]
    annotation: dict[str, Any] = {"completed_by": {"email": "ben@shop"}, "result": [answer], "was_cancelled": False}
    other = {**answer, "value": {"taxonomy": [LAMPS]}}
    task["annotations"] = [
        {**annotation, "updated_at": "2026-11-02T09:00:00.5Z"},
        {**annotation, "result": [other], "updated_at": "2026-11-02T08:00:00Z"},
        {**annotation, "result": [other], "updated_at": "2026-11-03T08:00:00Z", "was_cancelled": True},
    ]
    path.write_text(json.dumps([task, {"data": task["data"], "annotations": []}]))
    assert import_corrections(desk, path) == {"recorded": 1, "left_open": 1}
    (said,) = read_corrections(tmp_path / "corrections")
    assert (said.new, said.author, said.at) == (MUGS, "label-studio:ben@shop", "2026-11-02T09:00:00+00:00")
