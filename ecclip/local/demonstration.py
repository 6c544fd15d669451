"""The demo: nights from dump to answers on one machine, through Airflow and Triton."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

from rich.console import Console

from ecclip.core import ConfigError, ServiceError, Terminal, holder_of, locked, settings, shown
from ecclip.core.services import signals_raise
from ecclip.formats.bundle import lineage_of
from ecclip.local.airflow_rest import AirflowApi
from ecclip.local.following import NightView, TaskView, follow_night, trigger_night
from ecclip.local.nights import sample_nights
from ecclip.local.own import declare_nights, enter_shop
from ecclip.local.services import AIRFLOW, TRITON, Started, airflow_api, services_in_use
from ecclip.local.show import NightDisplay, print_summary

_SERVICES = (AIRFLOW, TRITON)
_TURN_WAIT_S = 12 * 3600.0  # nights of a dump of your own take hours; by judgment
# Spark uses little more than one core on a small night: training and later steps use the other
_NEXT_NIGHT_AFTER = ("train_towers", "start")


def demo(dump: str | None = None, mapping: str | None = None, nights: int = 3) -> list[NightView]:
    """Bring nights from dump to answers: sample nights, or nights of your own dump, by a mapping where it needs one.

    Uses the services of ``up`` if they run; else starts Airflow and Triton and stops them again, also after an error or
    Ctrl-C. A second demo of a workspace says who runs, and waits. A night that was run before is run again, and its
    unchanged stages are skipped.

    Raises:
        ConfigError: a mapping is given without a dump, or there is no such dump.
        ServiceError: a service did not come up, or a task failed; the message names its log.
    """
    if mapping is not None and dump is None:
        raise ConfigError("a mapping needs its dump", value=mapping, next_step="give DUMP too: see docs/mapping.md")
    began, console = time.monotonic(), _console()
    with signals_raise(), ThreadPoolExecutor(1) as pool:
        spark = pool.submit(_prepare_spark)  # concurrently with drawing and services, which do not fill two cores
        shop = enter_shop(dump, mapping) if dump else None
        with services_in_use(_SERVICES) as start, _turn(console):
            todo = declare_nights(console, shop, nights) if shop else sample_nights(console, nights)
            _show_services(console, start())
            _await_spark(console, spark)
            views = _run_all(console, todo)
            print_summary(console, views)
            _answers(console, todo[-1])
    _next_steps(console, todo[-1], views)
    console.print(f"done in {time.monotonic() - began:.0f} s")
    return views


def _prepare_spark() -> None:
    """Store Spark's classes before its first session: every later one starts in half the time."""
    from ecclip.catalog.spark.classes import prepare_spark
    from ecclip.local.warm_up import WARM_UP

    prepare_spark(WARM_UP)


def _await_spark(console: Console, prepared: Future[None]) -> None:
    # here and not in the other thread: Ctrl-C ends that one's processes too, and then nothing is wrong with Spark
    try:
        prepared.result()
    except ServiceError as error:
        console.print(f"Spark will start slowly: {error}", style="yellow")


def _console() -> Console:
    """Return the demo's console: as wide as the terminal, or wide enough for the tables in a file."""
    console = Terminal()
    return console if console.is_terminal else Terminal(width=120)


@contextmanager
def _turn(console: Console) -> Iterator[None]:
    """Let one demo at a time run the nights of a workspace: two would wait for each other's runs and events."""
    path = settings().work / "run" / "demo.lock"
    if other := holder_of(path):
        console.print(f"another demo runs here, this one begins when it has ended: {shown(other)}", soft_wrap=True)
    with locked(path, "the demo of this workspace", _TURN_WAIT_S):
        yield


def _show_services(console: Console, running: Started) -> None:
    for name, address in running.addresses.items():
        known = "started" if name in running.started else "was running"
        console.print(f"{name}: {address} ({known})")


def _run_all(console: Console, nights: list[str]) -> list[NightView]:
    """Run the nights; the catalog of one begins while the one before it is trained and deployed."""
    api, views = airflow_api(), []
    runs = {nights[0]: trigger_night(api, nights[0])}
    for number, night in enumerate(nights, start=1):
        console.rule(f"night {night} ({number} of {len(nights)})", align="left")
        with NightDisplay(console) as display:
            views.append(_follow(api, display, runs, night, nights[number] if number < len(nights) else None))
    return views


def _follow(
    api: AirflowApi, display: NightDisplay, runs: dict[str, str], night: str, following: str | None
) -> NightView:
    def show(view: NightView, task: TaskView) -> None:
        display.show(view, task)
        if following and following not in runs and _lets_next_begin(task):
            runs[following] = trigger_night(api, following)

    return follow_night(api, night, runs[night], show)


def _lets_next_begin(task: TaskView) -> bool:
    return (task.dag, task.task, task.state) == (*_NEXT_NIGHT_AFTER, "success")


def _answers(console: Console, night: str) -> None:
    from ecclip.local.answers import show_answers
    from ecclip.local.triton import triton_address

    address = triton_address()
    if address is None:
        raise ConfigError("Triton does not run", next_step="see work/logs/triton.log")
    show_answers(console, address, night)


def _next_steps(console: Console, night: str, views: list[NightView]) -> None:
    work = settings().work
    promoted = views[-1].tasks.get(("deploy_bundle", "promote"))
    lineage = lineage_of(str((promoted.facts.get("digest") or "") if promoted else "")) or "<lineage id>"
    shop = "" if work.parent == work.parent.cwd() else f"ECCLIP_WORKSPACE={work.parent} "
    lines = [
        ("the model's report", f"{work}/nights/{night}/evaluate/report.html"),
        ("the data's checks", f"{work}/nights/{night}/check/data_docs/index.html"),
        ("every listing's answer", f"{work}/answers/{night}"),
        ("the snapshot", f"{work}/snapshots/{night}"),
        ("where an answer comes from", f"{shop}work/env/main/bin/ecclip registry trace {lineage}"),
        ("Airflow, MLflow and Triton", f"{shop}make up"),
    ]
    console.rule("look further", align="left")
    for what, where in lines:
        console.print(f"{what:<28} {where}", soft_wrap=True)
