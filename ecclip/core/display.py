"""Show untrusted text safely: nothing in it controls a terminal, acts as markup or hides other text."""

from __future__ import annotations

import json
import re
from collections.abc import MutableMapping
from typing import Any

from rich.console import Console
from rich.highlighter import JSONHighlighter
from rich.text import Text

# C0 and C1 controls; marks that turn the direction of text (Trojan Source, Boucher and Anderson, 2021); line and
# paragraph separators; marks that show nothing; halves of a pair, which no terminal takes
_HIDDEN = (
    "\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff"
    "\U000e0000-\U000e007f"
)
_UNSAFE = re.compile(f"[{_HIDDEN}]")
_UNSAFE_IN_LINES = re.compile(f"(?![\n\t])[{_HIDDEN}]")
_MARKDOWN = re.compile(r"[\\`*_{}\[\]()#+!|~$:=^-]")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;"}


def shown(text: object, *, lines: bool = False) -> str:
    r"""Return text with invisible characters escaped as in Python: ``\x1b``, ``\u202e``.

    ``lines`` keeps line feeds and tabs, for trusted text of several lines.
    """
    unsafe = _UNSAFE_IN_LINES if lines else _UNSAFE
    return unsafe.sub(lambda match: match[0].encode("unicode_escape").decode(), str(text))


def shown_json(value: Any) -> str:
    """Return a value as readable JSON; invisible characters stay escaped, so it is still valid JSON."""
    text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
    return _UNSAFE_IN_LINES.sub(lambda match: json.dumps(match[0])[1:-1], text)


def shown_markdown(text: object) -> str:
    """Return text escaped for Markdown: no links, pictures, tables or HTML."""
    escaped = "".join(_ENTITIES.get(letter, letter) for letter in shown(text))
    # the entities' own signs (&#39;) must not be escaped again
    return re.sub(
        r"&#?\w+;|.", lambda match: match[0] if match[0][1:] else _MARKDOWN.sub(r"\\\g<0>", match[0]), escaped
    )


def shown_in_log(_: Any, __: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Make the values of a log line visible: a processor of structlog, for a line that a terminal shows."""
    return {name: shown(value) if isinstance(value, str) else value for name, value in line.items()}


class Terminal(Console):
    """The one console of ecclip: text is text, never markup or an emoji code, and what is invisible is visible."""

    def __init__(self, *, stderr: bool = False, soft_wrap: bool = False, width: int | None = None) -> None:
        super().__init__(stderr=stderr, soft_wrap=soft_wrap, width=width, markup=False, emoji=False, highlight=False)

    def render_str(self, text: str, **options: Any) -> Text:
        """Every plain text that is printed, alone or in a table, passes through here."""
        return super().render_str(shown(text, lines=True), **options)

    def print_value(self, value: Any) -> None:
        """Print a value as JSON, in colours where there are any."""
        text = Text(shown_json(value))
        JSONHighlighter().highlight(text)
        self.print(text, soft_wrap=True)
