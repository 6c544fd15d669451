"""Run registry calls in forked processes, one after the other or at once, and kill them where it is asked."""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any


def main() -> None:
    from ecclip.registry.store import answering

    with answering():  # the slow imports once, before anything is forked; no connection is made
        import mlflow.store.model_registry.sqlalchemy_store
        import mlflow.store.tracking.sqlalchemy_store  # noqa: F401 - MLflow imports both when a store is opened

    for line in sys.stdin:
        order = json.loads(line)
        if any(job["call"] in ("release", "type") for job in order["jobs"]):
            for name in ("ecclip.release", "ecclip.serving", "ecclip.tasks"):
                importlib.import_module(name)  # slow too
        sys.stdout.write(json.dumps(_run(order["jobs"], order["at_once"])) + "\n")
        sys.stdout.flush()


def _run(jobs: list[dict[str, Any]], at_once: bool) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        answers = [Path(folder) / str(number) for number in range(len(jobs))]
        if not at_once:
            return [_wait(_fork(job, answer), answer) for job, answer in zip(jobs, answers, strict=True)]
        children = [_fork(job, answer) for job, answer in zip(jobs, answers, strict=True)]
        return [_wait(child, answer) for child, answer in zip(children, answers, strict=True)]


def _fork(job: dict[str, Any], answer: Path) -> int:
    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the parent's answers go there
        _child(job, answer)
    return child


def _wait(child: int, answer: Path) -> dict[str, Any]:
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return {"signal": os.WTERMSIG(status)}
    return dict(json.loads(answer.read_text()))


def _child(job: dict[str, Any], answer: Path) -> None:
    from dataclasses import asdict

    from ecclip import registry
    from ecclip.core import EcclipError, settings

    for name in [name for name in os.environ if name.startswith("ECCLIP_")]:
        del os.environ[name]
    own = {"ECCLIP_WORKSPACE": job["workspace"], "ECCLIP_FAIL_POINT": job.get("fail_point", "")}
    os.environ.update(job["settings"] | own)
    settings.cache_clear()
    if "kill_write" in job:
        _die_before_write(job["kill_write"])
    if "kill_after" in job:
        from ecclip.registry import registration
        from ecclip.registry.tracking import delivery

        place = delivery.Delivery if job["call"] == "deliver" else registration
        function = _deadly(getattr(place, job["kill_after"]), job.get("kill_call", 1))
        setattr(place, job["kill_after"], function)
    try:
        if job["call"] == "register":
            result = asdict(registry.register(Path(job["args"][0]), job["args"][1], Path(job["args"][2])))
        elif job["call"] == "deliver":
            result = {"runs": registry.deliver_all(Path(job["args"][0]))}
        elif job["call"] == "release":
            result = _release(job["args"], job.get("with_server", False))
        elif job["call"] == "type":
            result = _type(job["args"], job.get("with_server", False))
        else:
            result = asdict(registry.set_champion(job["args"][0], "test", against=job["args"][1]))
    except EcclipError as error:
        result = {"error": type(error).__name__, "message": str(error)}
    except BaseException as error:  # noqa: BLE001 the parent must see it
        result = {"error": type(error).__name__, "message": repr(error)}
    answer.write_text(json.dumps(result))
    os._exit(0)


def _release(calls: list[list[str]], with_server: bool) -> dict[str, Any]:
    """Call functions of ``ecclip.release`` by name and return the last result; a table may stand in for the server."""
    from ecclip import release

    _stand_in(with_server)
    return [dict(getattr(release, name)(*args)) for name, *args in calls][-1]


def _type(words: list[str], with_server: bool) -> dict[str, Any]:
    """Run a command of ``ecclip`` as somebody types it."""
    from ecclip.cli import app

    _stand_in(with_server)
    return {"exit": app(words, standalone_mode=False)}


def _stand_in(with_server: bool) -> None:
    import pytest
    from server_tables import ServerTable

    if not with_server:
        ServerTable().install(pytest.MonkeyPatch())


def _die_before_write(count: int) -> None:
    """Kill this process before its ``count``-th write of an alias, a champion, ``live.json`` or the audit file."""
    from mlflow import MlflowClient

    from ecclip.formats import live

    promotion = importlib.import_module("ecclip.registry.promotion")
    writes = []

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            writes.append(0)
            if len(writes) == count:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*args, **kwargs)

        return run

    for place, names in (
        (MlflowClient, ("set_registered_model_alias", "delete_registered_model_alias")),
        (live, ("write_live",)),
        (promotion, ("_tag", "tell")),
    ):
        for name in names:
            setattr(place, name, counted(getattr(place, name)))


def _deadly(function: Callable[..., Any], call: int) -> Callable[..., Any]:
    calls = []

    def run(*args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        calls.append(0)
        if len(calls) == call:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    return run


if __name__ == "__main__":
    main()
