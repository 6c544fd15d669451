"""Amounts in one spelling: "500ML", "500 ml" and "500ｍｌ" become one text, so that titles of one product agree.

Unit symbols belong to no language. A single letter counts as a unit only in its own case, or after a decimal:
"3L" may be a size of clothes and "5G" a network, "1,5 L" and "500g" are amounts.
"""

from __future__ import annotations

import re

_LENGTHS, _MASSES, _VOLUMES = ("mm", "cm", "km"), ("mg", "kg"), ("ml", "cl", "dl")
_ELECTRIC, _WAVES = ("kW", "kWh", "Wh", "mAh", "Ah", "lm"), ("Hz", "kHz", "MHz", "GHz", "dB")
_OTHERS = ("KB", "MB", "GB", "TB", "px", "dpi", "mmHg", "kPa", "hPa", "MPa", "kcal", "kJ")
_SYMBOLS = (*_LENGTHS, *_MASSES, *_VOLUMES, *_ELECTRIC, *_WAVES, *_OTHERS)
_SPELLING = {symbol.lower(): symbol for symbol in _SYMBOLS}  # without mW and MW, which differ in case alone
_LETTERS = {"l": "l", "g": "g", "m": "m", "W": "W", "V": "V"}
_LETTERS_AFTER_DECIMAL = _LETTERS | {"L": "l"}
_AMOUNT = re.compile(
    r"(?<![\w.,])(?P<whole>[0-9]+)(?P<decimal>[.,][0-9]{1,2})?[ ]?(?P<unit>[A-Za-z]{1,4})(?![\w'\u2019])"
)


def spell_units(text: str) -> str:
    """Return ``text`` with a decimal point in amounts, one space before the unit, and the unit in its standard case."""
    return _AMOUNT.sub(_spelled, text)


def _spelled(found: re.Match[str]) -> str:
    unit, decimal = found["unit"], found["decimal"] or ""
    letters = _LETTERS_AFTER_DECIMAL if decimal else _LETTERS
    symbol = letters.get(unit) if len(unit) == 1 else _SPELLING.get(unit.lower())
    if symbol is None:
        return found[0]
    return f"{found['whole']}{decimal.replace(',', '.')} {symbol}"
