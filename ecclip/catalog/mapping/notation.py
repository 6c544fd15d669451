"""Notations of foreign cells: separators with escapes, names and values in one text, lists and maps."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import Any

from ecclip.catalog.dump.parquet_records import is_deep
from ecclip.catalog.mapping.model import Pairs, Separator

_QUOTE = '"'
_TOKENS = re.compile(r'("(?:[^"\\]|\\.)*")|(=>)|\bnil\b')


def parts_of(text: str, separator: Separator) -> list[str]:
    """Return the parts of a text without outer spaces and empty ones; an escaped separator stays in its part."""
    if ">" in separator.text:
        text = text.replace("&amp;gt;", ">").replace("&gt;", ">")
    parts, part, at = [], "", 0
    for found in _pattern(separator).finditer(text):
        part, at = part + text[at : found.start()], found.end()
        if found["meant"] is not None:
            part += separator.text
        else:
            parts.append(part.strip())
            part = ""
    return [found for found in [*parts, (part + text[at:]).strip()] if found]


@lru_cache(maxsize=64)
def _pattern(separator: Separator) -> re.Pattern[str]:
    sign = re.escape(separator.text)
    meant = re.escape(separator.escape) + sign if separator.escape else "(?!)"
    behind = f"(?![{re.escape(separator.not_before)}])" if separator.not_before else ""
    return re.compile(f"(?P<meant>{meant})|{sign}{behind}")


def named_parts(text: str, declared: Pairs) -> dict[str, str]:
    """Return names and values of a text such as ``size=S,color=Red, Blue``.

    What stands between two pairs and has no ``within`` of its own belongs to the value before it.
    """
    found: dict[str, str] = {}
    name = ""
    for part in parts_of(text.strip().strip(_QUOTE), declared.between):
        first, sign, rest = part.strip(_QUOTE).partition(declared.within)
        if sign:
            name = first.strip()
            value = rest.partition(declared.within)[0] if declared.rest == "drop" else rest
            found[name] = value.strip()
        elif name:
            found[name] += f"{declared.between.text} {part.strip(_QUOTE)}"
    return {name: value for name, value in found.items() if name}


def parsed(text: str, notation: str) -> Any:
    """Return the list or map that a text holds in JSON or as a Ruby hash, or None when it does not."""
    if notation == "ruby_hash":
        text = _TOKENS.sub(lambda match: match.group(1) or (":" if match.group(2) else "null"), text)
    try:
        found = json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict | list) and not is_deep(found) else None


def pairs_of(value: Any) -> list[tuple[str, Any]]:
    """Return name and value of a map, of a list of ``{key, value}``, or of either one level down."""
    if isinstance(value, list):
        return [pair for item in value for pair in pairs_of(item)]
    if not isinstance(value, dict):
        return []
    if "value" in value:
        name = value.get("key") or value.get("name")
        return [(str(name), value["value"])] if name else []
    inner = [item for item in value.values() if isinstance(item, dict | list)]
    plain = [(str(name), item) for name, item in value.items() if not isinstance(item, dict | list)]
    return plain + [pair for item in inner for pair in pairs_of(item)]
