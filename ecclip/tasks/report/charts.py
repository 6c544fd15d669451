"""The charts of the page, drawn by matplotlib: each is a picture inside the page, and words that say what it shows.

No text of a listing stands in a chart: classes are numbered, and the page says what the numbers mean.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec

import numpy as np

from ecclip.tasks.report.metrics import Bin

if TYPE_CHECKING:
    from matplotlib.figure import Figure

P = ParamSpec("P")
_INK, _SOFT, _BAR, _DOT = "#1d2430", "#667085", "#a9cbd9", "#2f6f8f"  # those of the page
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "ecclip",  # ids of equal charts are equal
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.edgecolor": _SOFT,
    "axes.labelcolor": _SOFT,
    "xtick.color": _SOFT,
    "ytick.color": _SOFT,
}
_NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))
_CELL_INCHES = 0.34  # of a matrix: two digits fit; by judgment


@dataclass(frozen=True)
class Chart:
    """A picture as the address of its own content, and what it shows in words."""

    url: str
    alt: str


def _styled(draw: Callable[P, Chart]) -> Callable[P, Chart]:
    """Draw in the page's style, whatever this machine's settings of matplotlib are."""

    @wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> Chart:
        import matplotlib as mpl  # late: only who draws pays for it

        with mpl.rc_context():
            mpl.rcdefaults()
            mpl.rcParams.update(_STYLE)
            return draw(*args, **kwargs)

    return drawn


@_styled
def reliability_chart(bars: dict[str, list[Bin]]) -> Chart:
    """Return diagrams side by side: bars of accuracy by score, dots of the mean score; the diagonal is perfect."""
    figure = _figure(5.2, 2.8)
    axes = figure.subplots(1, len(bars), sharey=True)
    for axis, (title, found) in zip(np.atleast_1d(axes), bars.items(), strict=True):
        low, high = [one.low for one in found], [one.high for one in found]
        accuracy = [one.accuracy for one in found]
        axis.bar(low, accuracy, np.subtract(high, low) * 0.94, align="edge", color=_BAR)
        axis.plot([0, 1], [0, 1], color=_SOFT, linestyle="--", linewidth=0.8)
        axis.scatter([one.confidence for one in found], accuracy, s=12, color=_DOT, zorder=3)
        axis.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", title=title, xlabel="score")
    np.atleast_1d(axes)[0].set_ylabel("share right")
    words = ("; ".join(map(_bin_in_words, found)) or "no answers" for found in bars.values())
    return _chart(figure, " ".join(f"{title}: {told}." for title, told in zip(bars, words, strict=True)))


@_styled
def confusion_chart(counts: np.ndarray) -> Chart:
    """Return a matrix of counts [K, K]: rows are true classes, columns answers, both numbered from 1."""
    size = len(counts)
    figure = _figure(1 + _CELL_INCHES * size, 0.9 + _CELL_INCHES * size)
    axis = figure.subplots()
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axis.pcolormesh(shares, cmap="Blues", vmin=0, vmax=1, edgecolors="white", linewidth=0.8)
    for row, column in np.argwhere(counts):
        colour = "white" if shares[row, column] > 0.6 else _INK
        axis.text(column + 0.5, row + 0.5, str(counts[row, column]), ha="center", va="center", color=colour, fontsize=8)
    numbers = [str(number + 1) for number in range(size)]
    axis.set_xticks(np.arange(size) + 0.5, numbers)
    axis.set_yticks(np.arange(size) + 0.5, numbers)
    axis.set(aspect="equal", xlabel="answer", ylabel="truth")
    axis.invert_yaxis()
    rows = (f"of {int(row.sum())} in class {number + 1} {int(row[number])} right" for number, row in enumerate(counts))
    return _chart(figure, f"{'; '.join(rows)}.")


@_styled
def shares_chart(names: Sequence[str], shares: Sequence[float], whole: float) -> Chart:
    """Return horizontal bars of shares [K] of right answers, numbered from 1, beside that of all (the line)."""
    figure = _figure(5.2, 0.7 + 0.22 * len(shares))
    axis = figure.subplots()
    places = np.arange(len(shares))
    axis.barh(places, shares, 0.7, color=_BAR)
    axis.axvline(whole, color=_DOT, linestyle="--", linewidth=0.8)
    axis.set_yticks(places, [str(place + 1) for place in places])
    axis.set(xlim=(0, 1), xlabel="share right")
    axis.invert_yaxis()
    lowest = int(np.argmin(shares))
    words = f"{len(shares)} parts, from {min(shares):.2f} (number {lowest + 1}: {names[lowest]}) to {max(shares):.2f}"
    return _chart(figure, f"{words}; all together {whole:.2f}.")


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _chart(figure: Figure, alt: str) -> Chart:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata=_NO_METADATA)
    return Chart(f"data:image/svg+xml;base64,{base64.b64encode(buffer.getvalue()).decode()}", alt)


def _bin_in_words(one: Bin) -> str:
    return f"scores {one.low:.1f} to {one.high:.1f} right in {one.accuracy:.2f} of {one.rows}"
