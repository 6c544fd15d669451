"""Tables in the docs, generated from the files of results.

A page holds ``<!-- results: <name> -->`` and ``<!-- end -->`` on their own lines; what is between them is made here.
``<!-- results: <name> without: heads, | recall@1, -->`` leaves out the rows that begin with one of these texts.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from ecclip.bench.result import CITED, OURS, OUTCOME, CellRow, Result, Row, read_result

NOT_RUN = "Not run: no `results/{name}.json` is committed."
_BLOCK = re.compile(
    r"(?P<begin><!-- results: (?P<name>[a-z0-9_]+)(?: without: (?P<hidden>[^>]*))? -->\n).*?(?P<end><!-- end -->)",
    re.DOTALL,
)


def fill_tables(page: str, results: Path) -> str:
    """Return a page with every table as the files in the folder ``results`` have it.

    Raises:
        ResultError: a file is not of the format.
    """

    def table(block: re.Match[str]) -> str:
        path = results / f"{block['name']}.json"
        hidden = tuple(one.strip() for one in (block["hidden"] or "").split("|") if one.strip())
        body = markdown(read_result(path), hidden) if path.is_file() else NOT_RUN.format(name=block["name"]) + "\n"
        return f"{block['begin']}{body}{block['end']}"

    return _BLOCK.sub(table, page)


def markdown(result: Result, hidden: tuple[str, ...] = ()) -> str:
    """Return a result as Markdown: the headline, the figures, and what made them.

    Rows that begin with one of the texts ``hidden`` are counted, and not shown.
    """
    shown = [row for row in result.rows if not row.what.startswith(hidden)]
    left_out = len(result.rows) - len(shown)
    head = [f"| `{name}` | {number(value)} |" for name, value in result.headline.items()]
    cells = [row for row in shown if isinstance(row, CellRow)]
    facts = ", ".join(f"{name} {value}" for name, value in result.machine.items() if value is not None)
    parts = [
        *(["| headline | |", "|---|---:|", *head, ""] if head else []),
        *(_side_by_side(cells) if cells else _one_by_one(shown)),
        "",
        *([f"{left_out} more rows are in the file.", ""] if left_out else []),
        f"`{result.command}`, {result.date}, commit `{result.commit[:12]}`; {facts}.",
    ]
    return "\n".join(parts) + "\n"


def _one_by_one(rows: list[Row]) -> list[str]:
    lines = [
        f"| {row.what} | {row.system} | {number(row.value)} | {spread(row)} | {row.unit} | {row.n} |" for row in rows
    ]
    return ["| what | system | median | low to high | unit | n |", "|---|---|---:|---:|---|---:|", *lines]


def _side_by_side(rows: list[CellRow]) -> list[str]:
    """Return a line for each metric of a cell, with the systems side by side, ours last, and published figures."""
    gains = [row for row in rows if row.system.startswith(f"{OURS} over ")]
    figures = [row for row in rows if row not in gains]
    names = sorted({row.system for row in figures if row.commit != CITED}, key=lambda name: (name == OURS, name))
    lines: dict[str, dict[str, str]] = {}
    for row in figures:
        column = "published" if row.commit == CITED else row.system
        text = f"{row.value:.3f}, {row.system}" if row.commit == CITED else _interval(row)
        lines.setdefault(row.what, {"n": str(row.n)})[column] = text
    for row in gains:
        place = f"{row.task}, {row.modality}, {row.dataset}: {row.metric.removeprefix(OUTCOME).strip()}"
        if row.metric.startswith(OUTCOME) and place in lines:
            lines[place]["over the better start"] = _interval(row)
    columns = ["n", *names, "over the better start", "published"]
    cells = [f"| {what} | {' | '.join(line.get(name, '') for name in columns)} |" for what, line in lines.items()]
    return [f"| what | {' | '.join(columns)} |", f"|---|{'---:|' * len(columns)}", *cells]


def _interval(row: Row) -> str:
    return f"{row.value:.3f} ({row.low:.3f} to {row.high:.3f})"


def number(value: float) -> str:
    """Return a number as a person reads it: four significant digits, thousands set apart."""
    if value == int(value) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def spread(row: Row, show: Callable[[float], str] = number) -> str:
    """Return the lowest and the highest of the repetitions, or nothing where there was one."""
    return "" if row.n == 1 else f"{show(row.low)} to {show(row.high)}"
