"""One spelling of a photo's address, whatever a shop wrote, and a reason where it is none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecclip.catalog.land.uris import PhotoAddress, looks_like_host, photo_address

SAME = {
    "http://shop.example/a.jpg": [
        " http://shop.example/a.jpg", "http://shop.example/a.jpg \t", "HTTP://Shop.Example/a.jpg",
        "http://shop.example:80/a.jpg", "http://shop.example/a.jpg#top", "http:\\/\\/shop.example\\/a.jpg",
        "http:\\\\shop.example\\a.jpg", '["http://shop.example/a.jpg"]', "\u00a0http://shop.example/a.jpg\u3000",
    ],
    "https://shop.example/a.jpg": ["//shop.example/a.jpg", "\\\\shop.example\\a.jpg", "https://shop.example:443/a.jpg"],
    "http://shop.example:8080/a%20b%7Cc.jpg": ["http://shop.example:8080/a b|c.jpg"],
    "http://shop.example/s.jpg?sig=ab%2Fcd%3D&x=a%20b+c": [],
    "http://shop.example/pct%25zz%25zz.jpg": ["http://shop.example/pct%25zz%zz.jpg"],
    "http://shop.example/%EC%83%81%ED%92%88.jpg": ["http://shop.example/상품.jpg"],
    "http://xn--bcher-kva.example/": ["http://bücher.example", "HTTP://BÜCHER.example/"],
    "http://[::1]:81/a.jpg": ["http://[0:0::1]:81/a.jpg".replace("0:0::1", "::1")],
    "http://shop.example/a,b.jpg": [],
    "http://shop.example/fetch?of=http://other.example/a.jpg": [],
    "img/1.jpg": [" img/1.jpg", "img/1.jpg ", "img/1.jpg\t", "img\\1.jpg", "./img/1.jpg", "img//1.jpg", "img/./1.jpg"],
    "상품 1.jpg": ["./상품 1.jpg"],
    "../dump-evil/1.jpg": ["..\\dump-evil\\1.jpg", "img/../../dump-evil/1.jpg"],
    "/img/12.jpg": ["/img//12.jpg"],
    "s3://bucket/a b.jpg": [" s3://bucket/a b.jpg"],
    "file:///etc/passwd": [],
}  # fmt: skip
PROBLEMS = {
    "img/balloon\ud83c.jpg": "bad_address",
    "img/a\0b.jpg": "bad_address",
    "http://[half/a.jpg": "bad_address",
    "http:///a.jpg": "bad_address",
    "http://host:99999/a.jpg": "bad_address",
    "http://h.example/x.jpg, http://h.example/y.jpg": "several_addresses",
    "http://h.example/x.jpg|http://h.example/y.jpg": "several_addresses",
    "http://h.example/x.jpg;//h.example/y.jpg": "several_addresses",
    "http://h.example/x http://h.example/y": "several_addresses",
    "http://h.example/x.jpg\nhttp://h.example/y.jpg": "bad_address",
    '["http://h.example/x.jpg", "http://h.example/y.jpg"]': "several_addresses",
    "a.jpg|b.jpg": "several_addresses",
    "img/a.jpg, img/b.PNG": "several_addresses",
    "a.webp;b.avif;c.gif": "several_addresses",
}


@pytest.mark.parametrize(("address", "spelling"), [(key, one) for key, more in SAME.items() for one in [key, *more]])
def test_spellings_of_one_address_are_one(address: str, spelling: str) -> None:
    assert photo_address(spelling) == PhotoAddress(address)


@pytest.mark.parametrize(("text", "problem"), PROBLEMS.items())
def test_what_is_no_address_says_so(text: str, problem: str) -> None:
    assert photo_address(text).problem == problem


@pytest.mark.parametrize(
    ("address", "is_host"),
    [
        ("127.0.0.1:38765/a.jpg", True), ("www.shop.example/a.jpg", True), ("localhost:80/a.jpg", True),
        ("cdn.shop.example:8080/x/a.jpg", True), ("img/a.jpg", False), ("a.jpg", False), ("img.2/a.jpg", False),
    ],
)  # fmt: skip
def test_an_address_without_its_scheme_is_told_from_a_path(address: str, is_host: bool) -> None:
    assert looks_like_host(address) is is_host
    assert photo_address(address) == PhotoAddress(address)


TEXTS = st.text(st.characters(exclude_categories=()), max_size=40)
PIECES = st.lists(
    st.sampled_from([*SAME, "http://", "//", "\\", "%", "[", "]", " ", ",", "|", ":1", "é", "..", '"]']), max_size=5
)


@given(TEXTS | PIECES.map("".join))
def test_any_text_has_one_spelling_that_can_be_written_and_is_its_own(text: str) -> None:
    found = photo_address(text)
    found.address.encode()
    assert found.address == found.address.strip()
    again = photo_address(found.address)
    if found.problem is None:
        assert again == found
