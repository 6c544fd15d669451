"""The page as a real server: who gets in, what hostile texts become, and what a click records."""

from __future__ import annotations

import html
import re
import signal
import stat
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from review_pages import Page, served_page
from reviewed_nights import MUGS

from ecclip.formats.corrections import read_corrections
from ecclip.review.desk import Desk

BEAKERS = ["home", "kitchen", "beakers"]  # which no listing has
MUG_TEXT = " > ".join(MUGS)
LOOK_FOR_LABELS = {"order": "label", "decision": "any"}


@pytest.fixture(scope="module")
def page(reviewed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with served_page(reviewed, tmp_path_factory.mktemp("review") / "workspace") as page:
        yield page


@pytest.fixture
def client(page: Page) -> Iterator[httpx.Client]:
    """Somebody who has opened the printed address."""
    with httpx.Client(base_url=page.origin, follow_redirects=True) as client:
        assert "token" not in str(client.get(page.url).raise_for_status().url)
        yield client


def form_of(text: str) -> dict[str, str]:
    """Return the hidden fields of a page's last form."""
    last = text.rpartition("<form method")[2]
    return {
        name: html.unescape(value) for name, value in re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', last)
    }


def test_the_address_is_for_one_user_of_this_machine(page: Page) -> None:
    assert stat.S_IMODE(page.kept.stat().st_mode) == 0o600
    assert page.origin.startswith("http://127.0.0.1:")
    for path in ("/", "/?token=guess", "/photo/00", "/static/review.js", "/correct"):
        assert httpx.get(page.origin + path).status_code == 403, path
    assert httpx.post(f"{page.origin}/correct", data={"label": "x"}).status_code == 403


def test_another_web_page_gets_nothing(page: Page, client: httpx.Client, wrong: str) -> None:
    """Neither by another name for this address (DNS rebinding), nor by a form of its own, nor in a frame."""
    assert client.get("/", headers={"Host": "shop.example"}).status_code == 400
    form = form_of(client.get("/", params={**LOOK_FOR_LABELS, "listing": wrong}).text) | {"label": MUG_TEXT}
    assert client.post("/correct", data={**form, "form_token": ""}).status_code == 403
    assert client.post("/correct", data=form, headers={"Origin": "http://shop.example"}).status_code == 403
    assert client.post("/correct", data=form | {"label": "x" * 70_000}).status_code == 413
    assert [one for one in read_corrections(page.corrections) if one.field == "category"] == []
    policy = client.get("/").headers["content-security-policy"]
    assert {"default-src 'none'", "frame-ancestors 'none'", "script-src 'self'"} <= {*policy.split("; ")}


def test_a_hostile_title_is_text_and_what_is_invisible_is_seen(client: httpx.Client, wrong: str) -> None:
    for view in ("one", "table"):
        text = client.get("/", params={**LOOK_FOR_LABELS, "view": view}).text
        assert "<script>alert" not in text
        assert "&lt;script&gt;alert(1)&lt;/script&gt;\\u202e\\x1b[2J" in text
        assert not re.search("[\u202e\x1b]", text)
        photo = re.search(r'<img src="(/photo/[0-9a-f]+)" alt="photo of: [^"]+"', text)
        assert photo is not None
        found = client.get(photo[1])
        assert (found.headers["content-type"], found.content[:2]) == ("image/jpeg", b"\xff\xd8")
    assert client.get("/photo/none").status_code == 404


def test_a_category_without_examples_is_one_of_the_choices_where_it_is_suggested(
    client: httpx.Client, desk: Desk
) -> None:
    questions = [desk.night.question(name) for name in ("category", "age_restricted")]
    places = range(len(desk.night.rows.listing_ids))
    suggested = [[place for place in places if desk.night.suggested(question, place, 2)] for question in questions]
    assert suggested[1] == []
    assert desk.night.suggested(questions[0], suggested[0][0], 2)[0][0] == BEAKERS
    listing = str(desk.night.rows.listing_ids[suggested[0][0]])
    text = client.get("/", params={"head": "category", "listing": listing}).text
    choice = html.escape(" > ".join(BEAKERS))
    assert f"{choice} <small>no examples, by its name</small>" in text
    assert f'name="label" value="{choice}"' in text


def test_what_does_not_exist_is_named(client: httpx.Client, wrong: str) -> None:
    form = form_of(client.get("/", params={**LOOK_FOR_LABELS, "listing": wrong}).text)
    refused = client.post("/correct", data=form | {"label": "home > <b>cellar"})
    assert refused.status_code == 400
    assert "home &gt; &lt;b&gt;cellar" in refused.text
    for query in ({"order": "sideways"}, {"head": "attribute:size"}, {"listing": "nobody"}, {"label": "home > cellar"}):
        (value,) = query.values()
        refused = client.get("/", params=query)
        assert refused.status_code == 400
        assert html.escape(value) in refused.text


def test_a_choice_is_recorded_and_the_next_listing_follows(page: Page, client: httpx.Client, wrong: str) -> None:
    """Of the colour: the other tests look at the category."""
    wanted = {"decision": "any", "head": "attribute:color"}
    first = client.get("/", params=wanted)
    form = form_of(first.text)
    second = client.post("/correct", data=form | {"label": "not present"})
    (said,) = [one for one in read_corrections(page.corrections) if one.field == "attributes"]
    assert (said.listing_id, said.name, said.new, said.author) == (form["listing"], "color", None, "ann")
    assert form_of(second.text)["listing"] != form["listing"]
    assert dict(second.url.params)["listing"] == form_of(second.text)["listing"]
    again = client.get("/", params={**wanted, "listing": form["listing"]})
    assert "by ann" in again.text
    in_table = client.post(
        "/correct",
        data=form | {"listing": wrong, "label": "red", "view": "table", "page": "1", "head": "attribute:color"},
    )
    assert dict(in_table.url.params)["view"] == "table"
    assert {one.listing_id for one in read_corrections(page.corrections)} == {form["listing"], wrong}


def test_it_ends_when_it_is_told_and_leaves_no_address(reviewed: Path, tmp_path: Path) -> None:
    with served_page(reviewed, tmp_path / "workspace") as page:
        page.process.send_signal(signal.SIGTERM)
        page.process.wait()
        assert not page.kept.exists()
