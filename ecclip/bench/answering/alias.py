"""From the move of ``@champion`` in MLflow to the first answer of the new version, with every service running.

In this workspace: the alias goes back and forth between the champion and the one before, and ends where it began.
"""

from __future__ import annotations

import json
import random
import time
import urllib.request

from ecclip import registry, release
from ecclip.bench.answering.sizes import Sizes
from ecclip.bench.result import Result
from ecclip.client import Product, ProductClient
from ecclip.core import ConfigError, ServiceError, get_logger, patient, settings
from ecclip.local import start_services, stop_services
from ecclip.registry import ModelRef
from ecclip.serving import Repository, client_options

_SERVICES = ("airflow", "mlflow", "triton")
_QUESTION = Product(title="red steel mug")
_POLL_S = 0.05  # between two questions: the error of what is measured
_LIMIT_S = 900.0  # of a move: twice what it may take where the watcher is down
_POKE_S = 10.0  # of the watcher: a move comes at any moment between two looks


def measure_alias(result: Result, sizes: Sizes) -> None:
    """Enter the seconds of every move.

    Raises:
        ConfigError: this workspace has no champion, or none before it.
        ServiceError: a service does not come up, or a version never answered.
    """
    started = start_services(_SERVICES)
    try:
        seconds = _moves(started.addresses["triton"], _mlflow(started.addresses), sizes.moves)
    finally:
        stop_services(started.started)
    what = "from moving @champion in MLflow to the first answer of the version"
    result.head(alias_to_answer_seconds=result.add(what, "ecclip", "s", seconds))


def _moves(triton: str, mlflow: str, count: int) -> list[float]:
    chance, pair, seconds = random.Random(0), _pair(), []
    with ProductClient(triton, client_options()) as client:
        for number in range(count):
            wish = pair[number % 2]
            time.sleep(_POKE_S * chance.random())
            begun = time.monotonic()
            _move(mlflow, wish.version)
            _await_answer(client, wish, begun)
            seconds.append(time.monotonic() - begun)
            get_logger().info("moved", version=wish.version, seconds=round(seconds[-1], 2))
            _await_agreement(begun)
    return seconds


def _pair() -> tuple[ModelRef, ModelRef]:
    """Return the version that answered before, and the one that answers and is champion.

    Raises:
        ConfigError: the answers never changed, or the registry does not know one of both.
    """
    repository, now = Repository(settings().work / "model_repository"), registry.champion()
    live = repository.live()
    staged = repository.staged(live.previous) if live is not None and live.previous is not None else None
    before = registry.version_of(staged.bundle) if staged is not None else None
    if now is None or before is None:
        raise ConfigError(
            "the alias can be moved between two versions that were champions",
            value="no champion" if now is None else f"version {now.version} alone",
            next_step="make demo",
        )
    return before, now


def _mlflow(addresses: dict[str, str]) -> str:
    """Return the address of MLflow: this workspace's, or the server's that the settings name."""
    return addresses.get("mlflow", settings().tracking_uri).rstrip("/")


def _move(mlflow: str, version: str) -> None:
    """Move the alias by the request that MLflow's own pages send."""
    body = json.dumps({"name": "ecclip", "alias": "champion", "version": version}).encode()
    url = f"{mlflow}/ajax-api/2.0/mlflow/registered-models/alias"
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"}, method="POST")
    urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request).close()


def _await_answer(client: ProductClient, wish: ModelRef, begun: float) -> None:
    while client.ask([_QUESTION])[0].lineage != wish.lineage_id:
        _limit(begun, f"version {wish.version} does not answer")
        time.sleep(_POLL_S)


def _await_agreement(begun: float) -> None:
    while release.state()["state"] != "agree":
        _limit(begun, "alias and answers do not agree")
        time.sleep(1.0)


def _limit(begun: float, what: str) -> None:
    if time.monotonic() - begun > patient(_LIMIT_S):
        raise ServiceError(
            what,
            limit=f"{patient(_LIMIT_S):g} s",
            next_step="ecclip status; see the runs of reconcile_champion in Airflow",
        )
