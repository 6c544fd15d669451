"""Clean text: what a seller typed, as one line of plain Unicode."""

from __future__ import annotations

import html
import re
import unicodedata

import ftfy

_TAG = re.compile(r"<[!/a-zA-Z][^<>]{0,500}>")
_SPACE = re.compile(r"\s+")
_ROUNDS = 16
_JOINERS = "\u200c\u200d"


def clean_text(text: str | None) -> str | None:
    """Return text with broken encodings repaired, HTML and control characters gone and NFKC applied; empty is None.

    Nothing here assumes a language or a script. Cleaning twice changes nothing: what one round uncovers (an entity
    that was written as an entity) the next one cleans.
    """
    if text is None:
        return None
    for _ in range(_ROUNDS):
        before, text = text, _round(text)
        if text == before:
            break
    return text or None


def _round(text: str) -> str:
    if not (text.isascii() and text.isprintable() and "&" not in text and "<" not in text):
        text = ftfy.fix_text(_TAG.sub(" ", html.unescape(text)))
        text = unicodedata.normalize("NFKC", text)
        text = "".join(map(_kept, text))
    return _SPACE.sub(" ", text).strip()


def _kept(sign: str) -> str:
    kind = unicodedata.category(sign)
    if kind in ("Cc", "Zl", "Zp"):
        return " "
    # format characters (zero width, direction marks) go, but for the joiners that scripts need
    return "" if kind == "Cf" and sign not in _JOINERS else sign
