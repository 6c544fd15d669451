"""Clean text: what a seller typed, as one line of plain Unicode that reads as it did before.

ftfy is imported by the first text that needs it: a GPU worker reads texts that are clean already and has no ftfy.
"""

from __future__ import annotations

import html
import re
import unicodedata
from functools import cache

from ecclip.product_input.units import spell_units

_TAG = re.compile(r"<[!/a-zA-Z][^<>]{0,500}>")
_SPACE = re.compile(r"\s+")
_ROUNDS = 16  # a text that was escaped more often stays partly escaped; by judgment
_JOINERS = "\u200c\u200d"
_GRAPHEME_JOINER = "\u034f"
_MARKS_IN_A_ROW = 30  # of the Stream-Safe Text Format, Unicode Standard Annex 15

# Other forms of the same signs, which read the same: full and half width, ligatures and the forms that Arabic letters
# take in a word, letters of mathematical fonts, units in one square, degrees, litres, micro. Everything else that
# compatibility folding (NFKC) would touch stays: a half is not 1/2 glued to the digit before it, a square metre is not
# m2, a trade mark is not the letters TM.
_SAME = re.compile(
    "[\uff01-\uff5e\uffe0-\uffe6]|[\uff61-\uff9f]+|[\ufb00-\ufb06]|[\ufb50-\ufbb1\ufbd3-\ufbff\ufe70-\ufefc]"
    "|[\U0001d400-\U0001d7ff]|[\u2103\u2109\u2113\u00b5]"
)
_SQUARED = re.compile("[\u3371-\u337a\u3380-\u33df]")


def title_text(title: str) -> str:
    """Return the text that models read of a title as its seller wrote it: clean, with amounts in one spelling.

    A title of nothing but markup stays what it was: a listing has a title. Doing it twice changes nothing.
    """
    cleaned = clean_text(title)
    return spell_units(cleaned) if cleaned else title


def description_text(description: str) -> str | None:
    """Return a description as tasks read it: clean, with amounts in one spelling; None where nothing is left."""
    cleaned = clean_text(description)
    return spell_units(cleaned) if cleaned else None


def clean_text(text: str | None) -> str | None:
    """Return text with broken encodings repaired, HTML and control characters gone and one form of each sign.

    The result is NFC, empty is None. Nothing here assumes a language or a script, and numbers stay what they are
    read as. Cleaning twice changes nothing: what one round uncovers (an entity that was written as an entity) the
    next one cleans. Time and memory are linear in the length of the text.
    """
    if text is None:
        return None
    for _ in range(_ROUNDS):
        before, text = text, _round(text)
        if text == before:
            break
    return text or None


def _round(text: str) -> str:
    import ftfy

    if not (text.isascii() and text.isprintable() and "&" not in text and "<" not in text):
        text = _stream_safe(_TAG.sub(" ", html.unescape(text)))
        text = ftfy.fix_text(text)
        text = unicodedata.normalize("NFC", _stream_safe(_same_signs(text)))
        text = "".join(map(_kept, text))
    return _SPACE.sub(" ", text).strip()


def _same_signs(text: str) -> str:
    text = _SQUARED.sub(lambda found: _unit(found[0]), text)
    return _SAME.sub(lambda found: unicodedata.normalize("NFKC", found[0]), text)


def _unit(sign: str) -> str:
    """Return the signs that stand in one square: one step of decomposition, so that a power stays one."""
    _, *codes = unicodedata.decomposition(sign).split()
    return "".join(chr(int(code, 16)) for code in codes) or sign


def _stream_safe(text: str) -> str:
    """Return text with a joiner in long runs of combining marks: sorting a run takes time by its square."""
    if text.isascii() or len(text) <= _MARKS_IN_A_ROW:
        return text
    return _marks().sub(lambda found: found[0] + _GRAPHEME_JOINER, text)


@cache
def _marks() -> re.Pattern[str]:
    marks = "".join(chr(code) for code in range(0x300, 0x1EA00) if unicodedata.combining(chr(code)))
    return re.compile(f"[{marks}]{{{_MARKS_IN_A_ROW}}}(?=[{marks}])")


def _kept(sign: str) -> str:
    kind = unicodedata.category(sign)
    if kind in ("Cc", "Zl", "Zp"):
        return " "
    # format characters (zero width, direction marks) go, but for the joiners that scripts need
    return "" if kind == "Cf" and sign not in _JOINERS else sign
