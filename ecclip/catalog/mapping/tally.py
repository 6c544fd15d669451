"""Outcomes of the rows and photos of a foreign dump, and when there are too few good ones to continue."""

from __future__ import annotations

from collections import Counter
from typing import Any

from ecclip.catalog.dump.record import UNDECODABLE
from ecclip.catalog.mapping.listing import SourceRow
from ecclip.catalog.mapping.model import Mapping
from ecclip.catalog.mapping.tables import Source, setting_for
from ecclip.core import ContractError, shown

FEW = 10  # below this many cases a share means nothing; by judgment
_EXAMPLES = 3  # shown in an error


class Tally:
    """Counts listings, refused rows by reason, and photos by outcome."""

    def __init__(self, mapping: Mapping, source: Source) -> None:
        self._mapping, self._source = mapping, source
        self.listings = 0
        self.refused: Counter[str] = Counter()
        self.photos: Counter[str] = Counter()
        self._first: dict[str, dict[str, Any]] = {}
        self._first_file: dict[str, str] = {}
        self._missing: list[str] = []

    def listing(self, source: SourceRow, listing: dict[str, Any]) -> dict[str, Any]:
        """Count a row of the dump and return it."""
        reason = listing["_problem"]
        if reason is None:
            self.listings += 1
        else:
            self.refused[reason] += 1
            self._first.setdefault(reason, listing)
            self._first_file.setdefault(reason, source.file)
        return listing

    def photo(self, listing: dict[str, Any], outcome: str | None) -> None:
        """Count the outcome of a listing's photo."""
        if outcome is None:
            return
        self.photos[outcome] += 1
        if outcome not in ("found", "address") and len(self._missing) < _EXAMPLES:
            self._missing.append(f"{listing['image_uri']} ({outcome})")

    def counts(self) -> dict[str, Any]:
        """Return what was counted, to be added to another tally."""
        names = ("listings", "refused", "photos", "_first", "_first_file", "_missing")
        return {name: getattr(self, name) for name in names}

    def add(self, counts: dict[str, Any]) -> None:
        """Add what a tally of later rows has counted."""
        self.listings += counts["listings"]
        self.refused.update(counts["refused"])
        self.photos.update(counts["photos"])
        self._first = counts["_first"] | self._first
        self._first_file = counts["_first_file"] | self._first_file
        self._missing = [*self._missing, *counts["_missing"]][:_EXAMPLES]

    @property
    def named_photos(self) -> int:
        """How many listings name a photo."""
        return sum(self.photos.values())

    def photo_detail(self) -> dict[str, int]:
        """Return the photos that are not in the dump, by outcome."""
        return {f"photo_{name}": number for name, number in self.photos.items() if name != "found"}

    def refuse_shares(self) -> None:
        """Raise ContractError where too many rows or photos cannot be used."""
        self._refuse_rows()
        self._refuse_photos()

    def _refuse_rows(self) -> None:
        refused = sum(self.refused.values())
        rows, limit = self.listings + refused, self._mapping.limits.refused_rows
        too_many = refused >= FEW and refused > limit * rows
        if not refused or (self.listings and not too_many):
            return
        counts = ", ".join(f"{reason} {count}" for reason, count in self.refused.most_common())
        worst = self.refused.most_common(1)[0][0]
        raise ContractError(
            f"too many rows of the source cannot be used: {counts}",
            value=f"{refused} of {rows}; first {shown(self._first[worst]['_detail'])}",
            limit=f"{limit:.0%} (limits.refused_rows)",
            next_step=self._advice(worst),
        )

    def _advice(self, reason: str) -> str:
        setting = setting_for(reason)
        if reason == UNDECODABLE:
            proposed = self._source.proposed_encoding(self._first_file[reason])
            return f"set source.encoding in the mapping; the bytes look like {proposed or 'no known encoding'}"
        return f"check {setting} in the mapping" if setting else "check the source"

    def _refuse_photos(self) -> None:
        by_path = self.named_photos - self.photos["address"]
        missing, limit = by_path - self.photos["found"], self._mapping.limits.missing_photos
        if missing < FEW or missing <= limit * by_path:
            return
        raise ContractError(
            "too many photos that the source names are not there",
            value=f"{missing} of {by_path}: {shown(', '.join(self._missing))}",
            limit=f"{limit:.0%} (limits.missing_photos)",
            next_step=f"put them below {self._source.root}, or name their folders in the mapping: below: [folder]",
        )
