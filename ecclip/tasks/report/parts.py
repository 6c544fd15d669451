"""Parts of the catalog that are looked at by themselves: by root category and by script of the title."""

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
    return found | {"title script: Hangul": hangul, "title script: other": ~hangul}
