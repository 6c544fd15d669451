"""Prices of a foreign table: the decimal separator of a column is inferred from all of it before the first row is
written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from decimal import Decimal
from typing import Any

from ecclip.catalog.dump.money import (
    Sign,
    currency_beside,
    currency_code,
    currency_places,
    decimal_sign,
    minor_units,
    parse_price,
)
from ecclip.catalog.mapping.model import Mapping, Number, Value
from ecclip.catalog.mapping.values import BadCellError, RowCells, text_of, value_of
from ecclip.core import ConfigError, shown

_EXAMPLES = 5  # shown in an error


class NumberColumn:
    """A value that is a number: the evidence of its texts about the decimal separator."""

    def __init__(self, name: str, value: Value, declared: Number) -> None:
        self.name, self.value, self.declared = name, value, declared
        self.sign: Sign | None = declared.decimal
        self._evidence: Counter[Sign] = Counter()
        self._unsure: list[str] = []

    @property
    def is_open(self) -> bool:
        """Whether the column has to be read to know its sign."""
        return self.declared.decimal is None

    def see(self, row: RowCells, currency: str | None) -> None:
        """Add the evidence of one row."""
        found = value_of(self.value, row, self.name)
        if not isinstance(found, str):
            return
        price = parse_price(found, whole=self._is_whole(found, currency))
        if price.sign is not None:
            self._evidence[price.sign] += 1
        if price.unsure and len(self._unsure) < _EXAMPLES and found not in self._unsure:
            self._unsure.append(found)

    def decide(self) -> None:
        """Decide the decimal separator.

        Raises:
            ConfigError: there are texts that can be read in two ways, and the column does not tell which is meant.
        """
        self.sign = decimal_sign(self._evidence) if self.is_open else self.declared.decimal
        if self.sign is None and self._unsure:
            seen = ", ".join(f"{count} with {sign!r}" for sign, count in sorted(self._evidence.items())) or "none"
            columns = ", ".join(self.value.source_columns())
            raise ConfigError(
                f"the decimal separator is ambiguous in {self.name} (column {columns})",
                value=shown(", ".join(self._unsure)),
                limit=f"texts that show their decimals: {seen}",
                next_step=f'set number: {{decimal: ","}} or number: {{decimal: "."}} in the mapping of {self.name}',
            )

    def amount(self, found: Any, currency: str | None) -> str | None:
        """Return the number as plain text with a point.

        Raises:
            BadCellError: it is not a number, or not a whole number of minor units.
        """
        exact = isinstance(found, int | float | Decimal) and not isinstance(found, bool)
        text = text_of(found)
        if text is None:
            return None
        reason = "bad_price" if self.name == "columns.price" else "bad_attributes"
        amount = Decimal(text) if exact else parse_price(text, self.sign, whole=self._is_whole(text, currency)).amount
        if amount is not None and self.declared.minor_units is not None:
            amount = minor_units(amount, self._places(currency, reason))
        if amount is None:
            raise BadCellError(reason, text[:200])
        return format(amount, "f")

    def _is_whole(self, text: str, currency: str | None) -> bool:
        """Return whether the amount is of a currency without decimals."""
        code = currency_code(currency or "") or currency_beside(text).code
        return self.name == "columns.price" and code is not None and currency_places(code) == 0

    def _places(self, currency: str | None, reason: str) -> int:
        if isinstance(self.declared.minor_units, int):
            return self.declared.minor_units
        code = currency_code(currency or "")
        if code is None:
            raise BadCellError(reason, "it counts minor units of a currency that is not known")
        return currency_places(code)


class CurrencyColumn:
    """A value that takes the currency out of a price's text."""

    def __init__(self, value: Value) -> None:
        self.value, self._signs = value, value.currency or {}
        self._shared: Counter[str] = Counter()

    def see(self, row: RowCells) -> None:
        """Record signs that several currencies share."""
        found = value_of(self.value, row, "currency")
        shared = currency_beside(found, self._signs).shared if isinstance(found, str) else None
        if shared and "/" not in shared:  # two codes in one text are an error of that row
            self._shared[shared] += 1

    def decide(self) -> None:
        """Raise ConfigError where a sign in the column is one of several currencies."""
        if self._shared:
            sign, count = self._shared.most_common(1)[0]
            raise ConfigError(
                f"the currency is ambiguous in {', '.join(self.value.source_columns())}",
                value=f"{shown(sign)} in {count} rows",
                next_step=f'say it in the mapping of columns.currency: currency: {{"{sign}": USD}}, or give a constant',
            )


def currency_of(value: Value | None, row: RowCells) -> str | None:
    """Return the row's currency: its text, or the one beside the number of a price.

    Raises:
        BadCellError: the text names more than one, or is the name of one.
    """
    found = None if value is None else text_of(value_of(value, row, "currency"))
    if value is None or value.currency is None or found is None:
        return found
    beside = currency_beside(found, value.currency)
    if beside.shared is not None:
        raise BadCellError("bad_currency", f"{beside.shared} in {found[:100]}")
    if beside.code is None and not any(sign.isdigit() for sign in found):  # a name such as Euro, and no price
        raise BadCellError("bad_currency", found[:100])
    return beside.code


def refuse_other_currency(price: Any, currency: str | None) -> None:
    """Raise BadCellError where a price names another currency than the mapping does."""
    beside = currency_beside(price).code if isinstance(price, str) else None
    if beside and currency and currency_code(currency) not in (None, beside):
        raise BadCellError("bad_currency", f"the price is in {beside}, the mapping says {currency}")


class Numbers:
    """The numbers of a mapping; where notation is ambiguous it is inferred by reading the source once."""

    def __init__(self, mapping: Mapping) -> None:
        self.columns = {name: NumberColumn(name, value, number) for name, value, number in mapping.numbers()}
        self._currency_value = currency = mapping.field("currency")
        self._currency = CurrencyColumn(currency) if currency is not None and currency.currency is not None else None
        self._nulls = frozenset(mapping.null_values)

    def wanted(self) -> set[str]:
        """Return the columns that have to be read before the first row can be written; none where all is declared."""
        values = [column.value for column in self.columns.values() if column.is_open]
        # a currency without decimals decides the notation of its prices
        values += [self._currency_value] if self._currency_value and (values or self._currency) else []
        return {name for value in values for name in value.source_columns()}

    def infer_notation(self, rows: Iterable[dict[str, Any]]) -> None:
        """Read the source once.

        Raises:
            ConfigError: a sign of a number or of a currency can mean two things; the message names the setting.
        """
        for cells in rows:
            row = RowCells(cells, self._nulls, Counter())
            with suppress(BadCellError):  # the row is refused later, when it is mapped
                if self._currency is not None:
                    self._currency.see(row)
                currency = currency_of(self._currency_value, row)
                for column in self.columns.values():
                    column.see(row, currency)
        for column in self.columns.values():
            column.decide()
        if self._currency is not None:
            self._currency.decide()
