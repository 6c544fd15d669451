"""Parts of the catalog that are looked at by themselves: by root category, script of the title, and last change."""

from __future__ import annotations

import re

import numpy as np

from ecclip.tasks.rows import Rows

_HANGUL = re.compile("[가-힣ㄱ-ㅎㅏ-ㅣ]")


def catalog_parts(rows: Rows) -> dict[str, np.ndarray]:
    """Return the listings of each part, bool [N] by its name."""
    hangul = np.array([bool(_HANGUL.search(title)) for title in rows.titles], dtype=bool)
    roots = np.array([path[0] if path else "" for path in rows.given.get("category", ())], dtype=str)
    found = {f"root: {name}": roots == name for name in np.unique(roots) if name}
    found |= {"title script: Hangul": hangul, "title script: other": ~hangul}
    return found | _by_age(rows)


def _by_age(rows: Rows) -> dict[str, np.ndarray]:
    """Return the thirds of the listings that were changed first and last: what fine-tuning may forget, and learns."""
    given = rows.given.get("updated_at", ())
    changed = np.array([np.nan if moment is None else moment.timestamp() for moment in given])
    if not np.isfinite(changed).any():
        return {}
    old, new = np.nanquantile(changed, [1 / 3, 2 / 3])
    if old == new:
        return {}
    return {"updated: oldest third": changed <= old, "updated: newest third": changed >= new}
