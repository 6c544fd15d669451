"""Clean text: what a seller typed, as one line of plain Unicode."""

from __future__ import annotations

import html
import re
import unicodedata

import ftfy

_TAG = re.compile(r"<[!/a-zA-Z][^<>]{0,500}>")
_SPACE = re.compile(r"\s+")


def clean_text(text: str | None) -> str | None:
    """Return text with broken encodings repaired, HTML and control characters gone and NFKC applied; empty is None.

    Nothing here assumes a language or a script.
    """
    if text is None:
        return None
    text = ftfy.fix_text(_TAG.sub(" ", html.unescape(text)))
    text = unicodedata.normalize("NFKC", text)
    kept = "".join(" " if unicodedata.category(sign) in ("Cc", "Zl", "Zp") else sign for sign in text)
    # format characters (zero width, direction marks) go too, but for the joiners that scripts need
    kept = "".join(sign for sign in kept if unicodedata.category(sign) != "Cf" or sign in "\u200c\u200d")
    return _SPACE.sub(" ", kept).strip() or None
