"""The commands `ecclip review`: which night is looked at, and where its parts and the shop's corrections lie."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ecclip.atomic import MANIFEST
from ecclip.core import ContractError, Terminal, parse_night, settings
from ecclip.nights import CORRECTIONS, NO_NIGHT, published_nights, work_path
from ecclip.pipeline import STEPS

if TYPE_CHECKING:
    from ecclip.review.desk import Desk

review_app = typer.Typer(help="Review a night's answers and correct labels; the next night learns from them.")

Night = Annotated[
    str | None, typer.Option(parser=parse_night, help="Default: the newest night whose heads are evaluated")
]
Author = Annotated[str, typer.Option(help="Who corrects; default: the user of this machine")]
Task = Annotated[str, typer.Option(help="The label that is asked: category, attribute:colour ... Default: the first")]
Order = Annotated[str, typer.Option(help="margin, disagreement or label: which listings come first")]
Decision = Annotated[str, typer.Option(help="review, auto or any: how the heads have decided")]
Split = Annotated[str, typer.Option(help="train: only listings that teach; any: all")]


@review_app.callback(invoke_without_command=True)
def review(
    context: typer.Context,
    night: Night = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one")] = 0,
    author: Author = "",
) -> None:
    """Review answers and correct labels: serve a page on loopback until Ctrl-C, and print its address."""
    if context.invoked_subcommand is None:
        from ecclip.review.server import serve_page

        serve_page(desk_of(night, author), port, settings().work / "run", Terminal(soft_wrap=True).print)


@review_app.command("export")
def review_export(
    file: Annotated[Path, typer.Argument(help=".csv for a spreadsheet, .json for Label Studio")],
    night: Night = None,
    task: Task = "",
    order: Order = "margin",
    decision: Decision = "review",
    split: Split = "train",
    most: Annotated[int, typer.Option(min=1, help="Listings at most")] = 500,
) -> None:
    """Write the listings that teach most into a file, to be corrected elsewhere."""
    from ecclip.review.drawing import Filter
    from ecclip.review.files import export_questions

    given: dict[str, Any] = {"head": task, "order": order, "decision": decision, "split": split}
    _show(export_questions(desk_of(night, ""), Filter(**given), file, most))


@review_app.command("import")
def review_import(
    file: Annotated[
        Path, typer.Argument(help="What export wrote, with corrections in it", exists=True, dir_okay=False)
    ],
    night: Night = None,
    author: Author = "",
) -> None:
    """Record the corrections of a file; what the night does not know is counted and left out."""
    from ecclip.review.files import import_corrections

    _show(import_corrections(desk_of(night, author), file))


def desk_of(night: str | None, author: str) -> Desk:
    """Return the desk of a night of this workspace, the newest whose heads are evaluated where none is named.

    Raises:
        ContractError: there is no such night.
        IntegrityError: a part of it is missing or cannot be read.
    """
    from ecclip.review.desk import Desk

    chosen = _evaluated(night)
    parts = [work_path(STEPS[name].output, chosen) for name in ("publish", "embed", "evaluate")]
    return Desk.of_night(chosen, *parts, folder=work_path(CORRECTIONS, NO_NIGHT), author=author or getpass.getuser())


def _evaluated(night: str | None) -> str:
    whole = [one for one in published_nights() if (work_path(STEPS["evaluate"].output, one) / MANIFEST).is_file()]
    if not whole or night not in (None, *whole):
        raise ContractError(
            "there is no evaluated night to review",
            value=night or settings().work,
            limit=", ".join(whole) or "no night is evaluated",
            next_step="ecclip run evaluate --night <night>, or trigger train_towers for it",
        )
    return night or whole[-1]


def _show(value: dict[str, Any]) -> None:
    Terminal(soft_wrap=True).print_value(value)
