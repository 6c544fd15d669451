"""The cells of age restriction: the cheap system on titles and on photos of a small shop, without leaks."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from ecclip.bench.quality.data import Product, in_groups
from ecclip.bench.tasks.cells import CHEAP, ON_VALIDATION, Cell
from ecclip.bench.tasks.photos import restricted
from ecclip.bench.tasks.photos.restriction import FLAGGED, LEFT, TASK, measure_restriction
from ecclip.bench.tasks.photos.shops import Shop


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Of 1600 titles one in eight is a wine, each twice in other letters."""
    names = [f"{'red wine' if number % 8 == 0 else 'bread'} of the year {number}" for number in range(800)]
    rows = [
        {"product_id": number, "product_name": name, "department": "alcohol" if "wine" in name.lower() else "bakery"}
        for number, name in enumerate([*names, *(name.upper() for name in names)])
    ]
    (tmp_path / "instacart_products").mkdir()
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "instacart_products" / "listings.parquet")
    return tmp_path


def test_titles_are_flagged_at_the_rate_and_never_cross_the_splits(data: Path, tmp_path: Path) -> None:
    cell = Cell("instacart_products", TASK, "text", CHEAP, "")
    found = measure_restriction(data, tmp_path / "work", cell)
    assert found[FLAGGED].value == 1.0
    assert found[LEFT].value > 0.9
    assert set(found) == {FLAGGED, LEFT, ON_VALIDATION}
    shop = restricted.restricted_shop(data, "instacart_products")
    split = {}
    for one in shop.products:
        assert split.setdefault(one.title.lower(), one.split) == one.split


def test_a_like_background_is_that_of_restricted_photos() -> None:
    def photo(background: int, middle: int) -> bytes:
        image, buffer = Image.new("L", (96, 96), background), io.BytesIO()
        image.paste(middle, (30, 30, 66, 66))
        image.convert("RGB").save(buffer, "JPEG")
        return buffer.getvalue()

    def listing(number: int, flag: bool, image: bytes) -> Product:
        labels = {"category": "x"} | ({restricted.RESTRICTED: "yes"} if flag else {})
        return Product(f"l{number}", "s", f"t{number}", {}, labels, (f"t{number}",), image, published="train")

    bottles = [listing(number, True, photo(250, number)) for number in range(20)]
    shop = Shop("s", in_groups([*bottles, listing(98, False, photo(250, 90)), listing(99, False, photo(120, 90))]))
    np.testing.assert_array_equal(restricted.on_like_backgrounds(shop)[-2:], [True, False])
    cut = restricted.bordered(shop).products
    assert cut[0].image == cut[19].image != shop.products[0].image
