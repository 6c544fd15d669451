"""The real server answers as this process does, whatever it is asked and whoever is asked beside it."""

from __future__ import annotations

import asyncio
import io
import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import tritonclient.grpc as triton
from hostile_texts import HOSTILE_TEXTS, STEERING
from PIL import Image
from rich.console import Console
from serving_bundles import tiny_bundle
from serving_server import live_server
from snapshots import change_listings, write_snapshot
from taxonomies import in_korean
from tritonclient.utils import InferenceServerException
from waiting import HANG_S

from ecclip.client import (
    IMAGE_BYTES,
    MAX_BATCH,
    TEXT_BYTES,
    Answer,
    AsyncProductClient,
    ClientOptions,
    Product,
    ProductClient,
    Rejected,
    Unavailable,
    Words,
    choose_category,
)
from ecclip.core import Terminal, settings
from ecclip.formats.answers import read_answers
from ecclip.formats.bundle import Bundle
from ecclip.local.answers import show_answers
from ecclip.product_input import MAX_PIXELS, MESSAGE_PIXELS
from ecclip.serving import AnswersConfig, answers
from ecclip.serving.comparison import Tolerance, compare
from ecclip.serving.export.inprocess import InProcess
from ecclip.serving.golden import read_golden
from ecclip.tasks.kinds import TASKS

TOLERANCE = 1e-4  # of an embedding, server against torch in this process


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with live_server(tmp_path_factory.mktemp("questions")) as (_, deployment):
        yield deployment.address


@pytest.fixture(scope="module")
def twin() -> InProcess:
    return InProcess(tiny_bundle(0) / "towers", tiny_bundle(0) / "heads", 5)


@pytest.fixture(scope="module")
def photo() -> bytes:
    golden = read_golden(Bundle(tiny_bundle(0)).golden)
    return next(one.product.image for one in golden if one.kind == "image")  # type: ignore[return-value]


@pytest.fixture
def client(address: str) -> Iterator[ProductClient]:
    with ProductClient(address) as client:
        yield client


def _same(left: Answer, right: Answer) -> None:
    assert (left.error, left.categories[:1], left.decisions) == (right.error, right.categories[:1], right.decisions)
    assert [one.path for one in left.suggested] == [one.path for one in right.suggested]
    np.testing.assert_allclose(left.embedding, right.embedding, atol=1e-5)


def test_golden_listings_are_answered_as_in_process(client: ProductClient) -> None:
    golden = read_golden(Bundle(tiny_bundle(0)).golden)
    answers = client.ask([one.product for one in golden])
    for answer in answers:
        assert len(answer.lineage) == 16
        if not answer.error:
            assert abs(float(np.linalg.norm(answer.embedding)) - 1.0) < 1e-4
            assert answer.category_scores == sorted(answer.category_scores, reverse=True)
    assert compare(golden, answers, Tolerance(score=1e-3, embedding=TOLERANCE)).reasons == []


def test_a_catalog_is_answered_as_the_server_answers_what_its_shop_sends(client: ProductClient, tmp_path: Path) -> None:
    landed, nothing = tmp_path / "land", tmp_path / "nothing"
    snapshot = write_snapshot(tmp_path / "2026-01-01", listings=40, landed=landed)
    nothing.mkdir()
    answers(AnswersConfig(), snapshot, nothing, tiny_bundle(0), nothing, tmp_path / "answers")
    photos = dict(
        zip(*(pq.read_table(landed / "images")[name].to_pylist() for name in ("image_sha256", "image")), strict=True)
    )
    sent = pq.read_table(landed / "listings", columns=["title", "description", "image_sha256"]).to_pylist()
    told = client.ask([Product(photos.get(row["image_sha256"]), row["title"], row["description"]) for row in sent])
    table, refused = read_answers(tmp_path / "answers")
    assert refused.num_rows == 0
    assert {bool(answer.suggested) for answer in told} == {True, False}
    for row, answer in zip(table.to_pylist(), told, strict=True):
        assert (row["lineage_id"], tuple(row["category"])) == (answer.lineage, answer.categories[0])
        attributes = {one["name"]: one["value"] for one in row["attributes"]}
        assert attributes == {name: one["value"] for name, one in answer.attributes.items()}
        decided = {f"attribute:{one['name']}": one["decision"] for one in row["attributes"]}
        decided |= {name: row[f"{name}_decision"] for name in ("category", "age_restricted")}
        assert decided.items() <= answer.decisions.items()
        assert [tuple(one["path"]) for one in row["category_suggested"]] == [one.path for one in answer.suggested]
        assert row["category_score"] == pytest.approx(answer.category_scores[0], abs=1e-5)
        assert row["age_restricted_score"] == pytest.approx(answer.age_restricted, abs=1e-5)


@pytest.mark.parametrize("kind", [Console, Terminal])
def test_the_table_of_the_demo_shows_titles_and_file_names_whole(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[Console]
) -> None:
    snapshot = write_snapshot(tmp_path / "work" / "snapshots" / "2026-01-01", listings=60)
    texts = itertools.cycle(HOSTILE_TEXTS[:-1])  # Parquet holds no half pair

    def change(row: dict[str, Any]) -> None:
        row.update(title_original=next(texts), image_uri=f"[b]{row['listing_id'][1:]}", split="test")

    change_listings(snapshot, change)
    monkeypatch.setenv("ECCLIP_WORKSPACE", str(tmp_path))
    settings.cache_clear()
    try:
        console = kind(width=240)
        console.file = io.StringIO()
        show_answers(console, address, "2026-01-01", count=30)
    finally:
        monkeypatch.undo()
        settings.cache_clear()
    printed = console.file.getvalue()
    assert STEERING.search(printed) is None
    for text in (
        "[/무료배송] 가방",
        "[free gift] red mug",
        "[bold red]sale[/bold red] :tea:",
        r"\x1b]0;owned\x07",
        "<script>",
    ):
        assert text in printed
    assert "[b]000" in printed
    for task in TASKS:
        assert f"→ {task.title}: " in printed
    assert "unknown" in printed


def test_what_no_label_taught_is_not_a_number_on_the_wire_and_none_for_the_client(
    address: str, client: ProductClient, photo: bytes
) -> None:
    by_photo, by_title, by_both = client.ask(
        [Product(image=photo), Product(title="red mug"), Product(image=photo, title="red mug")]
    )
    assert (by_photo.categories, by_photo.category_scores, by_photo.error) == ([], [], "")
    assert by_photo.attributes == {"color": {"value": None, "score": None}}
    unknown = {"category": "unknown", "attribute:color": "unknown"}
    assert {name: by_photo.decisions[name] for name in unknown} == unknown
    assert isinstance(by_photo.age_restricted, float)
    assert (by_title.age_restricted, by_title.decisions["age_restricted"]) == (None, "unknown")
    assert by_title.categories
    assert "unknown" not in by_both.decisions.values()
    call = ClientOptions().call([Product(image=photo), Product(title="red mug")], triton)
    with triton.InferenceServerClient(address) as raw:
        result = raw.infer(**call)
    scores, age = result.as_numpy("CATEGORY_SCORE"), result.as_numpy("AGE_RESTRICTED_SCORE")
    assert np.isnan(scores).all(axis=1).tolist() == [True, False]
    assert np.isnan(age[:, 0]).tolist() == [False, True]


def test_the_async_client_answers_as_the_sync_client(address: str, client: ProductClient, photo: bytes) -> None:
    products = [Product(title=f"mug {number}", image=photo if number % 2 else None) for number in range(70)]

    async def ask() -> list[Answer]:
        async with AsyncProductClient(address) as asynchronous:
            return await asynchronous.ask(products)

    for left, right in zip(asyncio.run(ask()), client.ask(products), strict=True):
        _same(left, right)


@pytest.mark.fault(26)
def test_a_malformed_listing_gets_its_own_error_and_its_neighbours_an_answer(
    client: ProductClient, twin: InProcess, photo: bytes
) -> None:
    good = Product(image=photo, title="red mug")
    bad = {
        "neither": Product(),
        "blank title": Product(title=" \0 "),
        "no picture": Product(image=b"%PDF-1.7 nothing to see"),
        "truncated": Product(image=photo[:400], title="red mug"),
    }
    alone = twin.ask(good)
    for name, product in bad.items():
        answers = client.ask([good, product, good])
        assert answers[1].error, name
        assert "0x" not in answers[1].error
        _same(answers[0], alone)
        _same(answers[2], alone)
    strange = [
        Product(title="word " * 4000),
        Product(title="👠👜🍷 " * 20),
        Product(title="حقيبة جلدية حمراء"),
        Product(title="a\0b"),
        Product(title="\ud800"),
        Product(title="", image=photo),
    ]
    for product, answer in zip(strange, client.ask(strange), strict=True):
        expected = twin.ask(replace(product, title=(product.title or "").encode("utf-8", "replace").decode() or None))
        assert answer.error == ""
        _same(answer, expected)


@pytest.mark.fault(26)
def test_messages_of_another_shape_type_or_size_leave_the_server_alive(address: str, client: ProductClient) -> None:
    with triton.InferenceServerClient(address) as raw:
        for shape, kind, data in (
            ([1, 2], "BYTES", np.array([[b"a", b"b"]], dtype=np.object_)),
            ([1], "BYTES", np.array([b"a"], dtype=np.object_)),
            ([1, 1], "FP32", np.ones((1, 1), np.float32)),
            ([MAX_BATCH + 1, 1], "BYTES", np.full((MAX_BATCH + 1, 1), b"a", dtype=np.object_)),
        ):
            tensors = [triton.InferInput(name, shape, kind) for name in ("IMAGE", "TITLE")]
            for tensor in tensors:
                tensor.set_data_from_numpy(data)
            with pytest.raises(InferenceServerException):
                raw.infer("product", tensors, client_timeout=HANG_S)
        tensor = triton.InferInput("TITLE", [1, 1], "BYTES")
        tensor.set_data_from_numpy(np.array([[b"a"]], dtype=np.object_))
        with pytest.raises(InferenceServerException):
            raw.infer("product", [tensor], client_timeout=HANG_S)
    assert client.ask([Product(title="still here")])[0].error == ""


@pytest.mark.fault(26)
def test_too_large_an_image_or_text_is_an_error_of_that_listing(address: str, client: ProductClient) -> None:
    with pytest.raises(Rejected, match="too large"):
        client.ask([Product(image=bytes(IMAGE_BYTES + 1))])
    values = {
        "IMAGE": [bytes(IMAGE_BYTES * 4), b"", b"", b""],
        "TITLE": [b"mug", b"x" * (TEXT_BYTES + 1), b"mug", b"mug"],
        "DESCRIPTION": [b"of clay", b"", b"x" * (TEXT_BYTES + 1), b"of clay"],
    }
    tensors = []
    for name, column in values.items():
        tensor = triton.InferInput(name, [4, 1], "BYTES")
        tensor.set_data_from_numpy(np.array([[value] for value in column], dtype=np.object_))
        tensors.append(tensor)
    raw = triton.InferenceServerClient(address)
    errors = raw.infer("product", tensors, client_timeout=HANG_S).as_numpy("ERROR")[:, 0]
    raw.close()
    assert [b"limit" in error for error in errors] == [True, True, True, False]
    assert errors[3] == b""


def test_names_of_categories_are_in_the_language_asked_for(client: ProductClient) -> None:
    asked = (None, "en", "ko", "ko-KR", "eo")
    answers = client.ask([Product(title="green lamp", language=language) for language in asked])
    english, korean = answers[0].categories, [tuple(map(in_korean, path)) for path in answers[0].categories]
    assert [one.categories for one in answers] == [english, english, korean, korean, english]
    assert all(one.category_ids == [path[-1] for path in english] for one in answers)
    assert client.ask([Product(title="green lamp", language="k" * 65)])[0].error.endswith("limit: 64")


def test_a_category_without_examples_is_suggested_beside_the_answer_and_marked(client: ProductClient) -> None:
    titles = [f"{colour} {noun}" for colour in ("red", "green", "blue") for noun in ("gnome", "dwarf", "lamp", "mug")]
    english, korean = (client.ask([Product(title=title, language=one) for title in titles]) for one in ("en", "ko"))
    found = [one for answer in english for one in answer.suggested]
    assert found
    assert {(one.path, one.id, one.zero_shot, one.decision) for one in found} == {
        (("home", "gnomes"), "gnomes", True, "review")
    }
    assert min(one.score for one in found) > 0.5
    names = [tuple(map(in_korean, one.path)) for answer in english for one in answer.suggested]
    assert [one.path for answer in korean for one in answer.suggested] == names


def test_a_category_without_examples_is_chosen_by_its_description_and_marked(client: ProductClient) -> None:
    gnomes = Words("figures for the lawn", synonyms=["dwarfs"])
    categories = {("home", "lamps"): "", ("garden", "gnomes"): gnomes, ("tools",): ""}
    lamp, broken = choose_category(client, [Product(title="green lamp"), Product(image=b"junk")], categories)
    lawn = "a kind of garden: figures for the lawn"
    prompts = ("lamps, a kind of home", f"gnomes, {lawn}", f"dwarfs, {lawn}", "tools")
    asked = [Product(title="green lamp"), *(Product(title=f"a photo of {prompt}") for prompt in prompts)]
    own, home, *both, tools = (answer.embedding for answer in client.ask(asked))
    garden = np.mean(both, axis=0) / np.linalg.norm(np.mean(both, axis=0))
    cosines = np.array([own @ other for other in (home, garden, tools)])
    nearest = list(categories)[int(np.argmax(cosines))]
    shares = np.exp(cosines / 0.07) / np.exp(cosines / 0.07).sum()
    assert list(lamp.scores.values()) == pytest.approx(shares, abs=1e-4)
    assert (lamp.value, lamp.decision, lamp.zero_shot) == (" > ".join(nearest), "review", True)
    assert sum(lamp.scores.values()) == pytest.approx(1, abs=1e-5)
    assert (broken.value, bool(broken.error)) == (None, True)


@pytest.mark.fault(29)
def test_an_answer_does_not_depend_on_its_neighbours(client: ProductClient, photo: bytes) -> None:
    listings = [Product(image=photo, title="green lamp"), Product(image=photo), Product(title="green lamp")]
    hostile = [Product(image=b"junk"), Product(title="x" * 9000), Product(), Product(image=photo, title="other")]
    for listing in listings:
        alone = client.ask([listing])[0]
        for size in (2, 5, MAX_BATCH):
            crowd = [hostile[number % len(hostile)] for number in range(size - 1)]
            _same(client.ask([*crowd, listing])[-1], alone)
            _same(client.ask([listing, *crowd])[0], alone)


def test_a_client_without_a_server_says_so_after_bounded_attempts() -> None:
    options = ClientOptions(retries=2, backoff_s=0.01)
    with ProductClient("127.0.0.1:1", options) as client, pytest.raises(Unavailable, match=r"127\.0\.0\.1:1"):
        client.ask([Product(title="anyone?")])


def _grey(width: int, height: int, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (width, height), 90).save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.fault(26)
def test_an_image_of_too_many_pixels_or_too_few_gets_an_error_and_its_neighbours_an_answer(
    client: ProductClient, twin: InProcess, photo: bytes
) -> None:
    large = _grey(4000, MAX_PIXELS // 4000 + 1)
    assert len(large) < 100_000
    second = io.BytesIO()
    Image.open(io.BytesIO(photo)).save(second, "MPO", save_all=True, append_images=[Image.new("RGB", (64, 64))])
    good = Product(image=photo)
    bad = {"pixels": large, "less than": _grey(1, 1, "GIF"), "frames": _frames()}
    answers = client.ask([good, *(Product(image=image) for image in bad.values()), Product(image=second.getvalue())])
    for message, answer in zip(bad, answers[1:-1], strict=True):
        assert message in answer.error
    _same(answers[0], twin.ask(good))
    assert answers[-1].error == ""


@pytest.mark.fault(26)
def test_a_small_message_of_large_images_is_answered_up_to_its_budget(client: ProductClient, photo: bytes) -> None:
    large = Product(image=_grey(4000, MAX_PIXELS // 4000))
    fitting = MESSAGE_PIXELS // MAX_PIXELS
    answers = client.ask([large] * (fitting + 2) + [Product(title="red mug")])
    assert [bool(answer.error) for answer in answers] == [False] * fitting + [True] * 2 + [False]
    assert "fewer listings" in answers[fitting].error
    assert client.ask([Product(image=photo)])[0].error == ""


def _frames() -> bytes:
    buffer = io.BytesIO()
    frames = [Image.new("L", (40, 40), level) for level in (10, 200)]
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:])
    return buffer.getvalue()
