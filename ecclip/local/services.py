"""Start, find and stop the services of one machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table
from rich.text import Text

from ecclip.core import ServiceError, Terminal, get_logger, in_workspace, locked, patient, settings
from ecclip.core.services import Service, Services, choose_port, log_end, signals_held, signals_raise, users
from ecclip.local import airflow, mlflow
from ecclip.local.airflow_rest import AirflowApi
from ecclip.local.following import CHAIN, close_interrupted
from ecclip.local.triton import start_triton, stop_triton, triton_address, triton_is_supervised, triton_metrics

AIRFLOW, MLFLOW, TRITON = "airflow", "mlflow", "triton"
SERVICES = (AIRFLOW, MLFLOW, TRITON)
_START_LIMIT_S = 240.0  # several times an idle machine; by judgment
_LOCK_WAIT_S = 900.0  # an `up`: services and DAGs, four minutes each at most
_AIRFLOW_PORT, _MLFLOW_PORT = 2, 3  # the embedded Triton has the slots before them


@dataclass(frozen=True, kw_only=True)
class Started:
    """Addresses of the running services, and those that this call itself has started."""

    addresses: dict[str, str]
    started: tuple[str, ...]


def up(services: tuple[str, ...] = SERVICES) -> dict[str, str]:
    """Start the Airflow UI, the MLflow UI and Triton on loopback, or find them running; print where they are.

    Ports are free ones unless ECCLIP_AIRFLOW_PORT, ECCLIP_MLFLOW_PORT or ECCLIP_TRITON_PORT give them.

    Returns:
        the address of each service.

    Raises:
        ServiceError: a service does not come up; what this call started is stopped again.
    """
    with signals_raise():
        running = start_services(services)
    table = Table(title="ecclip is up", title_justify="left")
    for column in ("service", "address", "state", "log"):
        table.add_column(column, overflow="fold")
    for name, address in running.addresses.items():
        table.add_row(name, address, "started" if name in running.started else "was running", _log_of(name))
    console = Terminal(stderr=True)
    console.print(table)
    if AIRFLOW in running.addresses:
        login = ("Airflow login: ", (airflow.USER, "bold"), " / ", (airflow.password(), "bold"))
        console.print(Text.assemble(*login))
    console.print("stop them with: make down")
    return running.addresses


def start_services(services: tuple[str, ...]) -> Started:
    """Start the named services that do not run, all at once as each is slow, and wait until they answer.

    They run until :func:`down` or :func:`stop_services`, whoever else uses them.
    """
    with _lock():
        running = _start(services)
        users.keep(running.addresses)
        return running


@contextmanager
def services_in_use(services: tuple[str, ...]) -> Iterator[Callable[[], Started]]:
    """Be a user of the named services for the block; what it yields starts those that do not run.

    Those that were not started to stay stop with their last user, also after an error, Ctrl-C or a killed user.
    """

    def start() -> Started:
        with _lock():
            return _start(services)

    use = ExitStack()
    with _lock():
        use.enter_context(users.registered())
    try:
        yield start
    finally:
        with signals_held(), _lock():
            use.close()
            _stop_unused(services)


def _start(services: tuple[str, ...]) -> Started:
    starters: dict[str, Callable[[], str]] = {AIRFLOW: _airflow_up, MLFLOW: _mlflow_up, TRITON: start_triton}
    wanted = tuple(name for name in services if name != MLFLOW or _mlflow_is_ours())
    missing = tuple(name for name in wanted if not _runs(name))
    if missing:
        get_logger().info("starting services", services=list(missing))
    users.release(missing)
    _run_all({name: starters[name] for name in missing})
    return Started(addresses={name: _address(name) or "?" for name in wanted}, started=missing)


def _stop_unused(services: tuple[str, ...]) -> None:
    unkept, others = tuple(name for name in services if name not in users.kept()), users.users()
    if others:
        Terminal(stderr=True).print(f"the services go on running for {'; '.join(others)}")
        return
    if running := [name for name in unkept if _address(name)]:
        Terminal(stderr=True).print(f"stopping {', '.join(running)}")
    _stop(unkept)


def down(services: tuple[str, ...] = SERVICES) -> list[str]:
    """Stop exactly the processes that ``up`` or a demo started here, children included; return what was running.

    Whoever uses them is named. Services of another workspace, of which this one is a copy, are left alone.
    """
    with _lock(), signals_held():
        others = users.users()
        stopped = _stop(services)
        users.release(services)
    if stopped and others:
        Terminal(stderr=True).print(f"they were in use by {'; '.join(others)}")
    Terminal(stderr=True).print(f"stopped: {', '.join(stopped)}" if stopped else "nothing was running")
    return stopped


def stop_services(services: tuple[str, ...]) -> list[str]:
    """Stop services silently; return the names of what was running."""
    with _lock():
        users.release(services)
        return _stop(services)


def status() -> dict[str, dict[str, str]]:
    """Return state, address, log and users of every service; a note says of one that it is another workspace's."""
    found, used = {}, "; ".join(users.users())
    for name in SERVICES:
        address = _address(name)
        state = {"state": "running" if address else "stopped", "log": _log_of(name)}
        more = {"address": address, "used_by": used} if address else {"note": _note(name)}
        found[name] = state | {key: value for key, value in more.items() if value}
    if metrics := triton_metrics():
        found[TRITON]["metrics"] = metrics
    return found


def airflow_api() -> AirflowApi:
    """Return a client of the running Airflow.

    Raises:
        ServiceError: it does not run.
    """
    server = Services().find(airflow.API_SERVER)
    if server is None or server.port is None:
        raise ServiceError("Airflow does not run", next_step="make up")
    return AirflowApi(server.port, airflow.USER, airflow.password())


def _lock() -> AbstractContextManager[None]:
    """Serialise ``up``, ``down`` and starts."""
    return locked(settings().work / "run" / ".lock", "the services of this workspace", _LOCK_WAIT_S)


def _airflow_up() -> str:
    for name in airflow.COMPONENTS:  # what is left of an Airflow that died in part
        Services().stop(name)
    port = choose_port(str(settings().work), _AIRFLOW_PORT, "ECCLIP_AIRFLOW_PORT")
    parts = airflow.start_airflow(port)
    api = AirflowApi(port, airflow.USER, airflow.password())

    def healthy(*names: str) -> bool:
        health = api.health()
        return all(health.get(name) == "healthy" for name in names)

    _wait("Airflow", parts, lambda: healthy("metadatabase"))
    api.warm_up()
    api.add_pools(airflow.pools())
    for run in close_interrupted(api):  # it would block the next run, and a scheduler would resume it
        get_logger().warning("closed a run that was interrupted", run=run)
    parts.append(airflow.start_scheduler())
    _wait("Airflow", parts, lambda: healthy("scheduler", "dag_processor", "triggerer"))
    _wait("the DAGs", parts, lambda: {dag["dag_id"] for dag in api.get("dags")["dags"]} >= set(CHAIN))
    errors = api.get("importErrors")["import_errors"]
    if errors:
        raise ServiceError(
            "a DAG cannot be imported", value=errors[0]["stack_trace"], next_step=f"correct {errors[0]['filename']}"
        )
    return api.base


def _mlflow_up() -> str:
    Services().stop(mlflow.NAME)
    port = choose_port(str(settings().work), _MLFLOW_PORT, "ECCLIP_MLFLOW_PORT")
    service = mlflow.start_mlflow(port)
    _wait("MLflow", [service], lambda: mlflow.mlflow_answers(port))
    return f"http://127.0.0.1:{port}"


def _mlflow_is_ours() -> bool:
    """Return whether the store is the workspace's own: a server that runs elsewhere needs no second UI."""
    return not settings().tracking_uri.startswith("http")


def _wait(what: str, parts: list[Service], ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + patient(_START_LIMIT_S)
    while not ready():
        for part in parts:
            part.require_alive()
        if time.monotonic() > deadline:
            log = Path(parts[0].log)
            raise ServiceError(
                f"{what} did not come up",
                value=log_end(log),
                limit=f"{patient(_START_LIMIT_S):g} s",
                next_step=f"see {log}",
            )
        time.sleep(0.5)


def _run_all(starters: dict[str, Callable[[], str]]) -> None:
    pool = ThreadPoolExecutor(max_workers=max(1, len(starters)))
    try:
        with Terminal(stderr=True).status(f"starting {', '.join(starters)} ..."):
            for future in [pool.submit(start) for start in starters.values()]:
                future.result()
    except BaseException:
        # starters that still wait notice that their processes died, and end; one may start more meanwhile
        with signals_held():
            _stop(tuple(starters))
            pool.shutdown(cancel_futures=True)
            _stop(tuple(starters))
        raise
    pool.shutdown()


def _stop(services: tuple[str, ...]) -> list[str]:
    stoppers: dict[str, Callable[[], bool]] = {
        AIRFLOW: _stop_airflow,
        MLFLOW: lambda: Services().stop(mlflow.NAME),
        TRITON: stop_triton,
    }
    return [name for name in services if stoppers[name]()]


def _stop_airflow() -> bool:
    # the scheduler first: a task that gets SIGTERM must not be retried at once
    with ThreadPoolExecutor(max_workers=len(airflow.COMPONENTS)) as pool:
        return any(list(pool.map(Services().stop, reversed(airflow.COMPONENTS))))


def _runs(name: str) -> bool:
    return _address(name) is not None and (name != TRITON or triton_is_supervised())


def _address(name: str) -> str | None:
    if name == TRITON:
        return triton_address()
    parts = airflow.COMPONENTS if name == AIRFLOW else (mlflow.NAME,)
    found = [Services().find(part) for part in parts]
    return f"http://127.0.0.1:{found[0].port}" if found[0] and all(found) else None


def _note(name: str) -> str:
    """Return why services that are recorded here and run are not this workspace's, or not as it lies now."""
    parts = airflow.COMPONENTS if name == AIRFLOW else (name,)
    last = [service for part in parts if (service := Services().last(part))]
    return next((why for service in last if (why := Services().why_unusable(service))), "")


def _log_of(name: str) -> str:
    return in_workspace(Services().log_path("airflow-*" if name == AIRFLOW else name))
