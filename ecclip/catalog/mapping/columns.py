"""Names of source columns: as spelled in the mapping, else case-insensitively, else under an alias."""

from __future__ import annotations

from typing import Any

_MOST_NUMBERED = 100  # columns of one repeated name; by judgment
_SPELLINGS_KEPT = 1024  # folded names that are cached; more than any export has columns


class ColumnNames:
    """Gives the columns of rows the names that a mapping uses."""

    def __init__(self, wanted: set[str], aliases: dict[str, list[str]]) -> None:
        self._spellings = {name: [name] for name in sorted(wanted)}
        for name, others in aliases.items():
            self._spellings[name] = [name, *others]
        self._known: dict[tuple[str, ...], dict[str, str]] = {}

    def apply(self, cells: dict[str, Any]) -> dict[str, Any]:
        """Return the cells under the names of the mapping; columns that it does not name keep theirs."""
        names = tuple(cells)
        if names not in self._known:
            if len(self._known) > _SPELLINGS_KEPT:  # JSON objects may each have different keys
                self._known.clear()
            self._known[names] = self._renamed(names)
        renamed = self._known[names]
        return {renamed.get(name, name): cell for name, cell in cells.items()} if renamed else cells

    def _renamed(self, names: tuple[str, ...]) -> dict[str, str]:
        folded: dict[str, list[str]] = {}
        for name in names:
            folded.setdefault(folded_name(name), []).append(name)
        found: dict[str, str] = {}
        for wanted, spellings in self._spellings.items():
            for number in range(1, _MOST_NUMBERED) if "{n}" in wanted else (0,):
                target = wanted.replace("{n}", str(number))
                if target in names:
                    continue
                meant = [folded.get(folded_name(spelling.replace("{n}", str(number))), []) for spelling in spellings]
                # two columns that differ only by case: ambiguous
                one = next((columns[0] for columns in meant if len(columns) == 1), None)
                if one is not None and one not in found and one not in self._spellings:
                    found[one] = target
                elif number > 0:
                    break
        return found


def folded_name(name: str) -> str:
    """Return a name with case and blanks folded, equal for two spellings of one name."""
    return " ".join(name.replace("’", "'").split()).casefold()
