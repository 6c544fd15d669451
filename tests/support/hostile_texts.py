"""Titles and names that a person or a program could send to mislead whoever looks at them."""

from __future__ import annotations

import re

HOSTILE_TEXTS = [
    "[/무료배송] 가방",
    "[free gift] red mug",
    "[bold red]sale[/bold red] :tea: [link=http://evil.example]x[/link]",
    "\x1b]0;owned\x07\x1b[2J\x1b[31mgone",
    "\x9b31mcsi of one byte\x9d0;title\x9c",
    "cheap \u202egnp.exe\u202c \u2066hidden\u2069",
    "first\rsecond\nthird\tfourth\x00\x7f",
    "<script>alert(1)</script><img src=x onerror=alert(2)>",
    "![x](http://evil.example/p.png) [y](javascript:alert(3)) | a | b |",
    '=HYPERLINK("http://evil.example","click")',
    "${jndi} {{ 7*7 }} {% raw %} $column %s %(x)s",
    "\ufeffmarked \u2028 line \ud800 half",
]
# what no terminal may get from data: controls other than line feed and tab, and what turns text round
STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
