"""Pictures that show no product are found by who uses them where, in whichever encoding; products are left alone."""

from __future__ import annotations

import pytest

from ecclip.catalog.clean.placeholders import placeholders
from ecclip.catalog.clean.stage import CleanConfig
from ecclip.catalog.spark.session import spark_session

pytestmark = pytest.mark.spark

CFG = CleanConfig().placeholder
BASE = 0xF0E1D2C3B4A59687


def test_shared_pictures_logos_and_near_encodings_are_found_and_products_stay() -> None:
    uses: list[tuple[str, str | None, list[str]]] = []

    def use(picture: int, seller: str | None, place: int) -> None:
        uses.append((f"{picture:016x}", seller, ["all", f"c{place}"]))

    for number in range(10):
        use(BASE, f"s{number % 5}", number % 3)  # many sellers, three categories
        use(BASE ^ (1 << number * 5), f"t{number}", 0)  # the same picture, encoded by each seller again
        use(0x1111222233334444, "s1", number)  # the logo of one seller, wherever it sells
        use(0x5555666677778888, f"s{number}", 1)  # a product that many sell: one category
        use(0x9999AAAABBBBCCCC, "s2", number % 3)  # a seller's photo in three categories
        use(0x0123456789ABCDEF, None, number)  # a shop that names no sellers
    use(BASE ^ 0b111, "s1", 1)  # three bits away: another picture
    spark = spark_session(2)
    frame = spark.createDataFrame(uses, "image_phash string, seller_id string, category array<string>")
    found = {int(row["image_phash"], 16) for row in placeholders(CFG, frame).collect()}
    expected = {BASE, *(BASE ^ (1 << number * 5) for number in range(10)), 0x1111222233334444, 0x0123456789ABCDEF}
    assert found == expected
