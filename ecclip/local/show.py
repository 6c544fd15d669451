"""The display of running nights: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

from rich.console import Console, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from ecclip.core import shown
from ecclip.local.following import NightView, TaskView

_COLOURS = {
    "success": "green",
    "failed": "red",
    "running": "cyan",
    "up_for_retry": "yellow",
    "queued": "dim",
    "deferred": "cyan",
    "skipped": "dim",
}


class NightDisplay:
    """Shows the tasks of a night as they go; a context manager."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._view: NightView | None = None
        self._live = Live(get_renderable=self._render, console=console, refresh_per_second=4)
        self._whole = False

    def __enter__(self) -> NightDisplay:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._console.is_terminal:
            self._whole = True
            self._live.stop()

    def show(self, view: NightView, task: TaskView) -> None:
        """Update the state of a task."""
        self._view = view
        if not self._console.is_terminal and task.state not in ("queued", "running", "scheduled"):
            name = f"{task.dag}.{task.task}"
            self._console.print(
                Text(f"{view.night}  {name:<34} {task.state:<12} {task.seconds:6.1f} s  {shown(task.outcome)}")
            )

    def _render(self) -> RenderableType:
        if self._view is None:
            return Spinner("dots", text="waiting for the first task")
        table = Table(title=f"night {self._view.night}", title_justify="left", expand=False)
        for column in ("DAG", "task", "state", "seconds", "outcome"):
            table.add_column(column, justify="right" if column == "seconds" else "left")
        tasks, last = list(self._view.tasks.values()), ""
        # a live table taller than the window would hide the running task
        seen = tasks if self._whole else tasks[-max(4, self._console.height - 7) :]
        for task in seen:
            state = Text(task.state or "-", style=_COLOURS.get(task.state, ""))
            if task.attempt > 1:
                state.append(f" (attempt {task.attempt})", style="yellow")
            outcome = Text(shown(task.outcome))
            table.add_row(task.dag if task.dag != last else "", task.task, state, f"{task.seconds:.1f}", outcome)
            last = task.dag
        return table


def print_summary(console: Console, views: list[NightView]) -> None:
    """Print seconds and outcome of every task, one column per night."""
    table = Table(title="nights", title_justify="left")
    table.add_column("DAG")
    table.add_column("task")
    for view in views:
        table.add_column(view.night, justify="right")
    last = ""
    # a night that a later one has overtaken has no task of the DAGs after the promotion
    for dag, task in dict.fromkeys(name for view in views for name in view.tasks):
        cells = [_cell(view.tasks.get((dag, task))) for view in views]
        table.add_row(dag if dag != last else "", task, *cells)
        last = dag
    table.add_section()
    totals = [sum(task.seconds for task in view.tasks.values()) for view in views]
    table.add_row("", "all tasks", *(f"{total:.1f} s" for total in totals))
    console.print(table)
    stages = [task for view in views for task in view.tasks.values() if "outcome" in task.facts]
    unchanged = sum(task.outcome == "unchanged" for task in stages)
    if unchanged:
        console.print(f"{unchanged} of {len(stages)} stages were unchanged and not run again")


def _cell(task: TaskView | None) -> str:
    if task is None:
        return "-"
    return f"{task.seconds:.1f} s {'=' if task.outcome == 'unchanged' else ' '}"
