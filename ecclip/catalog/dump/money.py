"""Prices and currencies as people write them: the amount, its currency, and what cannot be known.

``1.299`` is a thousand in Hamburg and a little more than one in London. A single text does not tell; a column does: its
other prices show which sign is the decimal separator. What remains ambiguous must be declared; it is never guessed.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Literal, NamedTuple

Sign = Literal[",", "."]

_DECIMAL_SIGNS = str.maketrans({"，": ",", "．": ".", "٫": ",", "٬": "'", "’": "'", "‘": "'", "´": "'", "−": "-"})
_NUMBER = re.compile(r"\d+(?:[.,']\d+|[ ]\d{3}(?!\d))*|(?<![\w.,])[.,]\d+")
_PLAIN = re.compile(r"[-+]?(?:\d+(?:[.,]\d*)?|[.,]\d+)[eE][-+]?\d{1,3}")
_NO_CENTS = re.compile(r"(?<=\d)[.,:]?[-–—]{1,2}(?!\d)")  # 15,-  15.--  15:-
# a word behind the number that multiplies it: 3만원 is thirty thousand won
_WORDS = "k|m|mio|mln|tsd|thousand|million|lakh|crore|тыс|млн"
# or divides it: 99¢, 99p
_MULTIPLIER = re.compile(rf"\s?(?:[만억천백万萬億亿千百¢%‰]|(?:{_WORDS}|cents?|pence)\b)|p(?![\w.])", re.IGNORECASE)
_MINUS_BEHIND = re.compile(r"[.,]\d\d-(?!\d)")  # as SAP writes what is below zero
_AMOUNT = re.compile(r"\d[\d.,' ]*")
_CODES = re.compile(r"(?<![A-Za-z])([A-Z]{3})[. ]?0|0 ?([A-Z]{3})(?![A-Za-z])")
_LONGEST = 200  # characters of a cell that can be a price

# signs of one currency only; the others come from CLDR (below). $, ¥, kr, Rs are signs of several and are in no table
_SIGNS = {
    "₽": "RUB", "₺": "TRY", "₴": "UAH", "฿": "THB", "₦": "NGN", "₡": "CRC", "₲": "PYG", "₵": "GHS", "₸": "KZT",
    "₾": "GEL", "₼": "AZN", "₮": "MNT", "₭": "LAK", "៛": "KHR", "֏": "AMD", "৳": "BDT", "zł": "PLN", "Kč": "CZK",
    "Ft": "HUF", "원": "KRW", "円": "JPY", "S/": "PEN", "RM": "MYR", "лв": "BGN", "руб": "RUB", "грн": "UAH",
    "C$": "CAD", "AU$": "AUD", "S$": "SGD", "₩": "KRW",
}  # fmt: skip
_SHARED_SIGNS = ("$", "¥", "￥", "kr", "Rs", "元", "R")


class Price(NamedTuple):
    """What a text says: ``amount`` is None where the text is not a price; ``unsure`` where it depends on the sign."""

    amount: Decimal | None
    sign: Sign | None = None  # the decimal sign that this text gives evidence of
    unsure: bool = False


def parse_price(text: str, decimal: Sign | None = None, *, whole: bool = False) -> Price:
    """Return the one number of a text such as ``1.299,00 €``, ``Rs. 1,29,900`` or ``15,-``.

    Args:
        text: What stands in the cell.
        decimal: The sign before the decimals of the column; used only where the text itself leaves it open.
        whole: The currency has no decimals (JPY, KRW): a sign before three digits makes a group.

    Returns:
        Without an amount where there is no number, more than one (``5-7 €``), or one that no notation allows.
    """
    if len(text) > _LONGEST:
        return Price(None)
    plain = _plain(text)
    if _PLAIN.fullmatch(plain):
        return Price(_exact(plain.replace(",", ".")))
    if _MINUS_BEHIND.search(plain):
        return Price(None)
    plain = _NO_CENTS.sub("", plain)
    found = list(_NUMBER.finditer(plain))
    if len(found) != 1 or _MULTIPLIER.match(plain, found[0].end()):
        return Price(None)
    price = _read(found[0].group().replace(" ", "'"), decimal, whole)
    before = plain[: found[0].start()].rstrip(" ")
    negative = before.endswith("-") or plain.strip().startswith("-") or _is_in_brackets(plain)
    return price._replace(amount=-price.amount) if negative and price.amount is not None else price


def _is_in_brackets(plain: str) -> bool:
    """Return whether a text is in brackets as a whole: below zero, as accountants write it."""
    text = plain.strip()
    return text.startswith("(") and text.endswith(")")


def decimal_sign(evidence: Counter[Sign]) -> Sign | None:
    """Return the decimal sign of a column from the signs that its texts give evidence of; None where they differ."""
    return next(iter(evidence)) if len(evidence) == 1 else None


def _plain(text: str) -> str:
    """Return the text with digits of any script as ASCII, every blank as one space, and one apostrophe."""
    mapped = text.strip().translate(_DECIMAL_SIGNS)
    signs = [str(unicodedata.decimal(sign)) if sign.isdecimal() else " " if sign.isspace() else sign for sign in mapped]
    return "".join(signs)


def _read(number: str, decimal: Sign | None, whole: bool) -> Price:
    marks = re.findall(r"[.,']", number)
    outer = [mark for mark in marks if mark != "'"]
    if not outer:
        return Price(_grouped(number, "'") if marks else _exact(number))
    last: Sign = "," if outer[-1] == "," else "."
    if "'" in marks:  # the apostrophe or the blank makes the groups, so that the other sign is before decimals
        return _split(number, last) if len(outer) == 1 and marks[-1] == last else Price(None)
    if len(set(outer)) == 2:
        return _split(number, last)
    if len(outer) > 1:
        amount = _grouped(number, last)
        return Price(amount) if amount is None else Price(amount, sign="." if last == "," else ",")
    return _one_mark(number, last, decimal, whole)


def _one_mark(number: str, mark: Sign, decimal: Sign | None, whole: bool) -> Price:
    before, after = number.split(mark)
    if len(after) != 3 or len(before) > 3 or before.startswith("0") or not before:
        return Price(_exact(f"{before or 0}.{after}"), sign=mark)
    if whole:
        return Price(_exact(before + after))
    if decimal is None:
        return Price(None, unsure=True)
    return Price(_exact(f"{before}.{after}" if mark == decimal else before + after))


def _split(number: str, mark: Sign) -> Price:
    """Return a number whose groups are made by another sign than ``mark``, which stands before the decimals."""
    whole, _, after = number.rpartition(mark)
    groups = {sign for sign in whole if not sign.isdigit()}
    if mark in groups or len(groups) > 1:
        return Price(None)
    amount = _grouped(whole, groups.pop()) if groups else _exact(whole)
    return Price(None if amount is None else _exact(f"{amount}.{after}"), sign=mark)


def _grouped(whole: str, mark: str) -> Decimal | None:
    """Return a whole number in groups of three, or of two before the last as in India; None for other groups."""
    first, *rest = whole.split(mark)
    usual = 1 <= len(first) <= 3 and all(len(group) == 3 for group in rest)
    indian = 1 <= len(first) <= 2 and all(len(group) == 2 for group in rest[:-1]) and len(rest[-1]) == 3
    return _exact(first + "".join(rest)) if usual or indian else None


def _exact(text: str) -> Decimal | None:
    try:
        return Decimal(text)
    except InvalidOperation:
        return None


@lru_cache(maxsize=1)
def _known() -> tuple[frozenset[str], dict[str, str]]:
    """Return the ISO 4217 codes of legal tender today, and the signs that CLDR gives to one currency only."""
    from babel.core import get_global
    from babel.numbers import get_currency_symbol

    tender = get_global("territory_currencies").values()
    codes = frozenset(code for uses in tender for code, _, end, legal in uses if legal and end is None)
    signs = {get_currency_symbol(code, "en_001"): code for code in sorted(codes)}
    return codes, {sign: code for sign, code in signs.items() if sign != code} | _SIGNS


def currency_code(text: str) -> str | None:
    """Return the ISO 4217 code that a text is, in upper case; None for anything else: signs, names, old codes."""
    code = text.strip().upper()
    return code if code in _known()[0] else None


class Currency(NamedTuple):
    """The currency that a price names: ``code``, or the ``shared`` sign that several currencies have."""

    code: str | None = None
    shared: str | None = None


def currency_beside(text: str, declared: dict[str, str] | None = None) -> Currency:
    """Return the currency beside a number, by ISO 4217 code or by a sign that only one currency has.

    Args:
        text: A price as people write it.
        declared: Signs with the code that they stand for in this column: ``{"$": "CAD"}``.
    """
    if len(text) > _LONGEST:
        return Currency()
    plain = _AMOUNT.sub("0", _plain(text))
    return _currency(plain, tuple(sorted((declared or {}).items())))


@lru_cache(maxsize=4096)
def _currency(text: str, declared: tuple[tuple[str, str], ...]) -> Currency:
    """Return the currency in a text whose numbers are all 0, so that a column has few of them."""
    codes, signs = _known()
    alone = re.fullmatch(r"0?\s*([a-z]{3})\s*0?", text)
    beside = [code for pair in _CODES.findall(text) for code in pair if code]
    named = {code.upper() for code in [*beside, *(alone.groups() if alone else ())]} & codes
    if len(named) == 1:
        return Currency(named.pop())
    if named:
        return Currency(shared=" / ".join(sorted(named)))
    known = {**signs, **dict(declared)}
    for sign in sorted({*known, *_SHARED_SIGNS}, key=len, reverse=True):
        if _stands(sign, text):
            return Currency(known[sign]) if sign in known else Currency(shared=sign)
    return Currency()


def _stands(sign: str, text: str) -> bool:
    """Return whether a sign is in the text, not as a part of a longer word."""
    start = r"(?<![^\W\d_])" if sign[0].isalpha() else ""
    end = r"(?![^\W\d_])" if sign[-1].isalpha() else ""
    return re.search(start + re.escape(sign) + end, text) is not None


def minor_units(amount: Decimal, places: int) -> Decimal | None:
    """Return an amount that is given in the smallest unit: 1299 cents are 12.99; None where it is not whole."""
    return amount.scaleb(-places) if amount == amount.to_integral_value() else None


def currency_places(code: str) -> int:
    """Return how many decimals a currency has: 2 for EUR, 0 for JPY, 3 for KWD."""
    from babel.numbers import get_currency_precision

    return get_currency_precision(code)
