"""Each kind of cell: what is read, and what costs its row with which reason."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest

from ecclip.catalog.dump.cells import Limits, parse_cells
from ecclip.catalog.dump.contract import DUMP_FIELDS

LIMITS = Limits(title_characters=2000, category_depth=8, attributes=200)
NAN = float("nan")


def parse(**cells: Any) -> Any:
    return parse_cells({"listing_id": "l1", "title": "Mug", **cells}, LIMITS)


GOOD = [
    ("listing_id", 43900, "43900"),
    ("seller_id", 12.0, "12"),
    ("seller_id", Decimal("12"), "12"),
    ("seller_id", NAN, None),
    ("brand", b"Arvo", "Arvo"),
    ("brand", "  ", None),
    ("title", "x" * 2000, "x" * 2000),
    ("description", "x" * (1 << 17), "x" * (1 << 17)),
    ("category", "a > b &amp; c >", ["a", "b & c"]),
    ("category", '["a", null, "Ｓｈｏｅｓ ½"]', ["a", "Shoes ½"]),
    ("category", ["a", 3], ["a", "3"]),
    ("category", "Clothing, Shoes & Bags > Tees, Tops > Sale", ["Clothing, Shoes & Bags", "Tees, Tops", "Sale"]),
    ("category", [], None),
    ("attributes", {"Ｓize": "20 m²", "n": 3, "none": None}, [("Size", "20 m²"), ("n", "3")]),
    ("attributes", '{"list": ["a", 1]}', [("list", '["a",1]')]),
    ("attributes", {"size": "1", "ｓize": "2"}, [("size", "1")]),
    ("price", "12.99", 12.99),
    ("price", Decimal("12.50"), 12.5),
    ("price", 0, 0.0),
    ("price", "", None),
    ("currency", "eur", "EUR"),
    ("deleted", "False", False),
    ("deleted", 1.0, True),
    ("age_restricted", "yes", True),
    ("updated_at", "2026-01-02T09:00:00+09:00", dt.datetime(2026, 1, 2, tzinfo=dt.UTC)),
    ("updated_at", "2026-1-2 09:00:00.1234567 UTC", dt.datetime(2026, 1, 2, 9, 0, 0, 123456, dt.UTC)),
    ("updated_at", dt.date(2026, 1, 2), dt.datetime(2026, 1, 2, tzinfo=dt.UTC)),
    ("updated_at", dt.datetime(2026, 1, 2), dt.datetime(2026, 1, 2, tzinfo=dt.UTC)),
    ("image", b"\xff", b"\xff"),
]  # fmt: skip
BAD = [
    ("title", "x" * 2001),
    ("title", "x" * 20_000),
    ("title", {"en": "Mug"}),
    ("title", "half \ud83c"),
    ("listing_id", True),
    ("seller_id", 12.5),
    ("seller_id", "x" * 1001),
    ("brand", b"K\xfcche"),
    ("description", "x" * ((1 << 17) + 1)),
    ("category", " > ".join("abcdefghi")),
    ("category", list("abcdefghi")),
    ("category", [{"id": 1, "name": "a"}]),
    ("category", "Clothing > Tees, Clothing > Sale"),
    ("category", "Clothing > Tees; clothing"),
    ("category", ["Default Category", "Men", "Tees,Default Category", "Sale"]),
    ("category", "[broken"),
    ("category", "[" * 100_000),
    ("attributes", "red"),
    ("attributes", ["red"]),
    ("attributes", {str(n): "x" for n in range(201)}),
    ("attributes", {"x": "y" * 4001}),
    ("attributes", {"\ud83c": "y"}),
    ("price", "12,99"),
    ("price", "1.299,00"),
    ("price", "1 299"),
    ("price", "€5"),
    ("price", "1e999"),
    ("price", "٣"),
    ("price", -1),
    ("price", True),
    ("price", NAN),
    ("price", float("inf")),
    ("price", 10**400),
    ("currency", "XYZ"),
    ("currency", "€"),
    ("currency", "<script>alert(1)</script>"),
    ("deleted", "perhaps"),
    ("deleted", 2),
    ("updated_at", "0001-01-01T00:00:00+09:00"),
    ("updated_at", "0001-01-01T00:00:00"),
    ("updated_at", "9999-12-31T23:59:59-05:00"),
    ("updated_at", "0000-00-00 00:00:00"),
    ("updated_at", "2026-02-30"),
    ("updated_at", "2026-01-01T00:00:00+99:99"),
    ("updated_at", "30.10.2026 14:30"),
    ("updated_at", "1761955200"),
    ("updated_at", 1761955200000),
    ("updated_at", dt.date(1, 1, 1)),
    ("updated_at", dt.datetime(9999, 12, 31, 23, tzinfo=dt.timezone(dt.timedelta(hours=-5)))),
    ("image", "photo.jpg"),
]


@pytest.mark.parametrize(("name", "cell", "value"), GOOD)
def test_a_cell_is_read(name: str, cell: Any, value: Any) -> None:
    parsed = parse(**{name: cell})
    assert parsed.reason is None
    assert parsed.values[name] == value


@pytest.mark.parametrize(("name", "cell"), BAD)
def test_a_bad_cell_costs_its_row(name: str, cell: Any) -> None:
    parsed = parse(**{name: cell})
    assert parsed.reason == f"bad_{name}"
    assert parsed.detail is not None
    assert 0 < len(parsed.detail) <= 200
    parsed.detail.encode()


def test_a_row_without_identity_or_title_says_so() -> None:
    assert parse(listing_id=" ").reason == "missing_listing_id"
    assert parse(title=None).reason == "missing_title"
    assert parse(title=None, deleted=True).reason is None
    assert parse(title=None, price="cheap").reason == "bad_price"
    assert set(parse().values) == {field.name for field in DUMP_FIELDS}
