"""What goes into the service and comes out is declared once: client, signature and page follow from it."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as triton
from inference_server import Columns, inference_server

from ecclip.client import Answer, ClientOptions, Product, ProductClient, Rejected, SuggestedCategory
from ecclip.formats.service import INPUTS, OUTPUTS, encode, markdown
from ecclip.tasks.kinds import TASKS, Query

PAGE = Path(__file__).parents[2] / "docs" / "service.md"
FULL: dict[str, Any] = {
    "CATEGORY": [["home", "mugs"], ["home", "가방"]],
    "CATEGORY_SCORE": [0.75, 0.25],
    "CATEGORY_ID": ["1047", "bags"],
    "CATEGORY_SUGGESTED": [
        {"path": ["home", "정원"], "id": "garden", "score": 0.625, "zero_shot": True, "decision": "review"}
    ],
    "ATTRIBUTES": {"color": {"value": "red", "score": 0.5}, "material": {"value": None, "score": None}},
    "AGE_RESTRICTED": {"restricted": True, "classes": ["alcohol"], "suspected": [], "minimum_age": 18},
    "AGE_RESTRICTED_SCORE": 0.5,
    "AGE_CLASS": ["alcohol", "knives"],
    "AGE_CLASS_SCORE": [0.5, None],
    "AGE_CLASS_BASIS": ["labels", "unknown"],
    "OTHER_TASKS": {"brand": {"value": "Arvo", "score": 0.25}},
    "DECISION": {"category": "auto", "age_restricted": "review"},
    "EMBEDDING": np.array([0.6, 0.8], np.float32),
    "LINEAGE": "0123456789abcdef",
    "ERROR": "",
}
UNKNOWN = FULL | {
    "CATEGORY": [], "CATEGORY_SCORE": [], "CATEGORY_ID": [], "CATEGORY_SUGGESTED": [], "AGE_RESTRICTED_SCORE": None,
    "AGE_CLASS_SCORE": [None, None],
}  # fmt: skip
FAILED = {"LINEAGE": "0123456789abcdef", "ERROR": "the image cannot be decoded"}


def _received(columns: Columns, count: int) -> list[Answer]:
    """Return what a client makes of the columns that a server answers with."""
    with inference_server(lambda _: columns) as server, ProductClient(server.address) as client:
        return client.ask([Product(title="mug")] * count)


def _sent_and_received(rows: list[dict[str, Any]]) -> list[Answer]:
    """Return what a client makes of the columns that the server makes of ``rows``."""
    columns = {one.name: encode(one, [row.get(one.name) for row in rows]) for one in OUTPUTS}
    return _received(columns, len(rows))


def test_an_answer_arrives_as_it_was_given_whatever_its_neighbours_are() -> None:
    for answer, row in zip(
        _sent_and_received([FULL, UNKNOWN, FAILED, FULL]), [FULL, UNKNOWN, FAILED, FULL], strict=True
    ):
        expected = Answer.from_outputs(row)
        np.testing.assert_array_equal(answer.embedding, expected.embedding)
        assert {**vars(answer), "embedding": 0} == {**vars(expected), "embedding": 0}
    assert _sent_and_received([FULL])[0].age_class_scores == [0.5, None]
    assert _sent_and_received([FAILED])[0].error == FAILED["ERROR"]


def test_a_version_of_before_is_understood_without_the_outputs_that_it_lacks() -> None:
    later = ("CATEGORY_ID", "CATEGORY_SUGGESTED", "AGE_RESTRICTED", "OTHER_TASKS")
    later += ("AGE_CLASS", "AGE_CLASS_SCORE", "AGE_CLASS_BASIS")
    columns = {one.name: encode(one, [FULL[one.name]]) for one in OUTPUTS if one.name not in later}
    (answer,) = _received(columns, 1)
    assert (answer.categories[0], answer.age_restricted) == (("home", "mugs"), 0.5)
    assert (answer.age_classes, answer.age_class_scores, answer.other_tasks) == ([], [], {})
    assert answer.suggested == []
    with pytest.raises(Rejected):
        _received({}, 1)


def test_an_answer_has_a_field_for_every_output_and_goes_back_to_them() -> None:
    outputs = Answer.from_outputs(FULL).to_outputs()
    assert list(outputs) == [one.name for one in OUTPUTS]
    assert len([one for one in fields(Answer) if one.name != "request_id"]) == len(OUTPUTS)  # that is the message's
    assert Answer.from_outputs(outputs).categories == [("home", "mugs"), ("home", "가방")]
    assert outputs["CATEGORY_SUGGESTED"] == FULL["CATEGORY_SUGGESTED"]
    assert Answer.from_outputs(outputs).suggested == [SuggestedCategory(("home", "정원"), "garden", 0.625)]


def test_the_client_sends_the_declared_inputs_and_an_optional_one_where_a_listing_has_it() -> None:
    plain = [Product(title="mug"), Product(image=b"photo")]
    for products, wanted in (
        (plain, [one for one in INPUTS if not one.optional]),
        ([*plain, Product(title="mug", description="of clay", language="ko")], list(INPUTS)),
    ):
        call = ClientOptions().call(products, triton)
        assert [(one.name(), one.datatype(), one.shape()) for one in call["inputs"]] == [
            (one.name, one.datatype, [len(products), one.size]) for one in wanted
        ]
        assert [one.name() for one in call["outputs"]] == [one.name for one in OUTPUTS]


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_a_task_says_what_it_declares(task: Any) -> None:
    assert set(task.outputs) <= {one.name for one in OUTPUTS}
    assert set(task.answer([], Query(), 5)) == set(task.outputs)


@pytest.mark.parametrize("tensors", [INPUTS, OUTPUTS], ids=["inputs", "outputs"])
def test_the_page_has_the_tables_of_the_contract(tensors: Any) -> None:
    assert f"\n\n{markdown(tensors)}\n\n" in PAGE.read_text()
