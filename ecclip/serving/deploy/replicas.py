"""Servers that do not answer from what is live: restarted, lagging behind, or with a broken model; repaired."""

from __future__ import annotations

from dataclasses import dataclass

from ecclip.core import EcclipError, get_logger
from ecclip.formats.live import Live
from ecclip.serving.deploy.activation import probe, reconcile, unload_all
from ecclip.serving.deploy.deployment import Deployment, is_running
from ecclip.serving.deploy.platforms import ENTRY
from ecclip.serving.server.control import Control

_BROKEN = "had it loaded, without right answers"


@dataclass(frozen=True)
class Reconciled:
    """One server after a look at it: ``repaired`` is what was wrong, ``lags`` why it still does not answer."""

    address: str
    repaired: str = ""
    lags: str = ""

    def __str__(self) -> str:
        return f"{self.address} {self.lags or self.repaired or 'answers'}"


def reconcile_replicas(deployment: Deployment) -> list[Reconciled]:
    """Bring every server to what ``live.json`` names; one that cannot be does not hold the others up.

    Raises:
        IntegrityError: live.json cannot be read.
    """
    live = deployment.repository.live()
    if live is None:
        return []
    return [_reconciled(deployment, address, live) for address in deployment.addresses]


def _reconciled(deployment: Deployment, address: str, live: Live) -> Reconciled:
    try:
        with deployment.control(address) as server:
            if not is_running(server):
                return Reconciled(address, lags="does not answer: start it")
            wrong = _wrong(server, live)
            if wrong:
                wrong = _repair(deployment, server) or wrong
    except EcclipError as error:
        return Reconciled(address, lags=f"does not answer from version {live.version}: {error}")
    return Reconciled(address, repaired=wrong)


def _repair(deployment: Deployment, server: Control) -> str:
    """Reload what is live unless a deployment has done so meanwhile; return what was wrong, in words."""
    with deployment.repository.lock():
        live = deployment.repository.live()
        if live is None or not (wrong := _wrong(server, live)):
            return ""
        if wrong == _BROKEN:  # a loaded model is not loaded again
            unload_all(server, deployment.repository)
        reconcile(server, deployment.repository)
    get_logger().warning("a server is brought back", address=server.address, version=live.version, wrong=wrong)
    return f"{wrong}, and answers from version {live.version} again"


def _wrong(server: Control, live: Live) -> str:
    """Return how a server differs from what is live; nothing where it does not. A busy one is left alone."""
    found = server.loaded(ENTRY)
    if found != [live.version]:
        return f"served {found or 'nothing'}"
    return _BROKEN if probe(server, ENTRY, None, live.lineage) == "broken" else ""
