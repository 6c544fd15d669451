"""Clean text: what a seller typed as one line of plain Unicode, without changing how it reads.

ftfy is imported by the first text that needs it: GPU workers read clean texts only and have no ftfy.
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

# Compatibility forms that read the same: full and half width, ligatures, presentation forms of Arabic letters, letters
# of mathematical fonts, units in one square, degrees, litres, micro. Everything else that compatibility normalisation
# (NFKC) would change stays: a half is not 1/2 glued to the digit before it, a square metre is not m2, a trade mark is
# not the letters TM.
_COMPATIBILITY = re.compile(
    "[\uff01-\uff5e\uffe0-\uffe6]|[\uff61-\uff9f]+|[\ufb00-\ufb06]|[\ufb50-\ufbb1\ufbd3-\ufbff\ufe70-\ufefc]"
    "|[\U0001d400-\U0001d7ff]|[\u2103\u2109\u2113\u00b5]"
)
_SQUARED = re.compile("[\u3371-\u337a\u3380-\u33df]")


def title_text(title: str) -> str:
    """Return the text that models read, from a title as its seller wrote it: clean, with amounts in one spelling.

    A title that is nothing but markup is returned unchanged, as a listing must have a title. Idempotent.
    """
    cleaned = clean_text(title)
    return spell_units(cleaned) if cleaned else title


def description_text(description: str) -> str | None:
    """Return a description as tasks read it: clean, with amounts in one spelling; None where nothing is left."""
    cleaned = clean_text(description)
    return spell_units(cleaned) if cleaned else None


def clean_text(text: str | None) -> str | None:
    """Return text with broken encodings repaired, HTML and control characters removed, and one form of each character.

    The result is NFC; empty text is None. Nothing assumes a language or a script, and numbers keep their value.
    Idempotent: what one round uncovers (an entity that was escaped twice) the next one cleans. Time and memory are
    linear in the length of the text.
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
        text = unicodedata.normalize("NFC", _stream_safe(_fold_compatibility(text)))
        text = "".join(map(_kept, text))
    return _SPACE.sub(" ", text).strip()


def _fold_compatibility(text: str) -> str:
    text = _SQUARED.sub(lambda found: _decompose_unit(found[0]), text)
    return _COMPATIBILITY.sub(lambda found: unicodedata.normalize("NFKC", found[0]), text)


def _decompose_unit(sign: str) -> str:
    """Return the characters of a squared unit: one step of decomposition, so that exponents stay exponents."""
    _, *codes = unicodedata.decomposition(sign).split()
    return "".join(chr(int(code, 16)) for code in codes) or sign


def _stream_safe(text: str) -> str:
    """Return text with a joiner in long runs of combining marks: normalising a run takes quadratic time."""
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
    # format characters (zero width, direction marks) are removed, except for the joiners that some scripts need
    return "" if kind == "Cf" and sign not in _JOINERS else sign
