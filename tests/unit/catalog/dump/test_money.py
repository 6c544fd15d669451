"""Prices as people write them: one reading, or none; the column's sign decides only what the text leaves open."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecclip.catalog.dump.money import (
    Currency,
    currency_beside,
    currency_code,
    currency_places,
    decimal_sign,
    minor_units,
    parse_price,
)


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("12,99", "12.99"),
        ("4,20", "4.20"),
        ("1.299,00 €", "1299.00"),
        ("1 299,50 €", "1299.50"),
        ("1\u202f299,50\xa0€", "1299.50"),
        ("1'299.00", "1299.00"),
        ("CHF 1’299.—", "1299"),
        ("15,-", "15"),
        ("15,--", "15"),
        ("15:-", "15"),
        ("EUR 7,5", "7.5"),
        ("19.99", "19.99"),
        ("Rs. 1,299.50", "1299.50"),
        ("Rs.99", "99"),
        ("1,29,900", "129900"),
        ("₹12,34,567.50", "1234567.50"),
        ("1.299.000", "1299000"),
        ("0.125", "0.125"),
        ("1234,567", "1234.567"),
        (".99", "0.99"),
        ("１２９９円", "1299"),
        ("٣٫٥", "3.5"),
        ("from 12.99", "12.99"),
        ("-5.00", "-5.00"),
        ("€ -5", "-5"),
        ("1,23E+03", "1230"),
        ("899", "899"),
    ],
)
def test_a_price_that_can_be_read_in_one_way_is_read_whatever_the_column_says(text: str, amount: str) -> None:
    for decimal in (None, ",", "."):
        assert parse_price(text, decimal).amount == Decimal(amount)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["1.299", "1,299 €", "12.345", "USD 999,000", "1.299,-"])
def test_three_digits_behind_one_sign_are_left_to_the_column(text: str) -> None:
    assert parse_price(text) == (None, None, True)
    sign = "," if "," in text.removesuffix(",-") else "."
    other = "." if sign == "," else ","
    assert parse_price(text, sign).amount == parse_price(text, other).amount / 1000  # type: ignore[arg-type, operator]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ask us",
        "5-7 €",
        "5 - 7",
        "2 for 10",
        "3만원",
        "5k",
        "2.5 lakh",
        "1.29.9",
        "1,2,3",
        "1.299.00",
        "10 00",
        "9" * 300,
    ],
)
def test_what_is_no_single_number_is_no_price(text: str) -> None:
    assert parse_price(text) == (None, None, False)
    assert parse_price(text, ",").amount is None


@given(
    st.decimals(min_value=0, max_value=10**9, places=2),
    st.sampled_from([("", ","), (".", ","), (" ", ","), ("", "."), (",", "."), ("'", "."), ("\u202f", ",")]),
)
def test_every_amount_with_two_decimals_comes_back_in_every_notation(amount: Decimal, signs: tuple[str, str]) -> None:
    group, decimal = signs
    text = f"{amount:,.2f}".replace(",", "G").replace(".", decimal).replace("G", group)
    price = parse_price(text)
    assert price.amount == amount
    assert price.sign == decimal


@given(st.text(max_size=60))
def test_no_text_breaks_the_parser(text: str) -> None:
    price = parse_price(text)
    assert not (price.unsure and price.amount is not None)
    currency_beside(text)


def test_a_currency_without_decimals_has_groups_only() -> None:
    assert parse_price("12,900원", whole=True).amount == 12900
    assert parse_price("1.299.000 ₫", whole=True).amount == 1299000
    assert parse_price("12.5", whole=True).amount == Decimal("12.5")


def test_a_columns_sign_is_what_its_texts_agree_on() -> None:
    assert decimal_sign(Counter({",": 3})) == ","  # type: ignore[dict-item]
    assert decimal_sign(Counter({",": 3, ".": 1})) is None  # type: ignore[dict-item]
    assert decimal_sign(Counter()) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("12.99 USD", Currency("USD")),
        ("EUR7,5", Currency("EUR")),
        ("usd 5", Currency("USD")),
        ("1.299,00 €", Currency("EUR")),
        ("US$ 12", Currency("USD")),
        ("CA$12", Currency("CAD")),
        ("£12", Currency("GBP")),
        ("99,90 zł", Currency("PLN")),
        ("12.000 ₫", Currency("VND")),
        ("$12", Currency(shared="$")),
        ("¥300", Currency(shared="¥")),
        ("12 kr", Currency(shared="kr")),
        ("Rs. 12", Currency(shared="Rs")),
        ("XXX 5", Currency()),
        ("DEM 5", Currency()),
        ("Top 5 for 3 €", Currency("EUR")),
        ("12.99", Currency()),
    ],
)
def test_the_currency_beside_a_number(text: str, expected: Currency) -> None:
    assert currency_beside(text) == expected


def test_a_shared_sign_may_be_declared() -> None:
    assert currency_beside("$12", {"$": "CAD"}).code == "CAD"
    assert currency_beside("US$12", {"$": "CAD"}).code == "USD"
    assert currency_beside("kr 12", {"kr": "SEK"}).code == "SEK"


@pytest.mark.parametrize(
    ("text", "code"),
    [("EUR", "EUR"), (" usd ", "USD"), ("DEM", None), ("XXX", None), ("€", None), ("<b>", None), ("EURO", None)],
)
def test_a_currency_is_a_code_of_iso_4217(text: str, code: str | None) -> None:
    assert currency_code(text) == code


def test_amounts_in_the_smallest_unit() -> None:
    assert minor_units(Decimal(1299), currency_places("EUR")) == Decimal("12.99")
    assert minor_units(Decimal(1299), currency_places("JPY")) == 1299
    assert minor_units(Decimal(1299), currency_places("KWD")) == Decimal("1.299")
    assert minor_units(Decimal("12.5"), 2) is None


@pytest.mark.parametrize("text", ["99¢", "99p", "50 cents", "50 pence", "12%", "12.99-", "12,99- EUR"])
def test_a_text_that_is_not_the_amount_that_its_digits_say_is_no_price(text: str) -> None:
    assert parse_price(text, ".").amount is None


@pytest.mark.parametrize(("text", "amount"), [("(12.99)", "-12.99"), ("(EUR 3)", "-3"), ("12.99 (VAT)", "12.99")])
def test_an_amount_in_brackets_is_below_zero(text: str, amount: str) -> None:
    assert parse_price(text, ".").amount == Decimal(amount)
