"""The deployment of this workspace, as its settings say: staged, blessed, live, rolled back, reconciled."""

from __future__ import annotations

import threading
from pathlib import Path

from ecclip.core import ConfigError, IntegrityError, ServiceError, digest_of, settings
from ecclip.core.services import supervise
from ecclip.formats.bundle import lineage_of
from ecclip.serving.deploy.deployment import DeployConfig, Deployment
from ecclip.serving.deploy.examination import Blessing
from ecclip.serving.deploy.platforms import ENTRY, Target
from ecclip.serving.deploy.replicas import Reconciled, reconcile_replicas
from ecclip.serving.deploy.repository import Repository, Staged
from ecclip.serving.engine.config import EngineConfig
from ecclip.serving.server.embedded import EmbeddedServer


def stage_bundle(bundle: Path, cfg: EngineConfig | None = None) -> Staged:
    """Place a bundle in the model repository for the server of the settings; nothing is loaded.

    Its version there is a number of the repository's own, which never means another bundle. See
    :meth:`Repository.stage`.

    Raises:
        ConfigError: the settings name no server that has the platform, or not its GPU.
    """
    repository = Repository(_model_repository(), _target(cfg or EngineConfig()))
    with repository.lock():
        return repository.stage(bundle, repository.number_for(digest_of(bundle)))


def blessed_version(digest: str) -> int | None:
    """Return the version of a bundle that lies in the model repository whole and blessed, or None."""
    repository = _repository()
    number = repository.number_of(digest)
    staged = None if number is None else repository.staged(number)
    return number if staged is not None and repository.is_blessed(staged) else None


def bless(version: int, cfg: DeployConfig | None = None) -> Blessing:
    """Examine a staged version on the running server (the embedded one is started if necessary)."""
    return _deployment(cfg).bless(version)


def go_live(version: int, cfg: DeployConfig | None = None) -> None:
    """Make a blessed version live on every server; GateError if its answers differ, and the old one keeps serving."""
    _deployment(cfg).go_live(version)


def roll_back(version: int) -> None:
    """Make an earlier, blessed version live again."""
    _deployment().roll_back(version)


def live_version() -> int | None:
    """Return the version that answers by the last commit, or None."""
    live = _repository().live()
    return live.version if live else None


def require_answering(digest: str) -> None:
    """Require that what answers by the last commit is this bundle.

    Raises:
        IntegrityError: it is another one, or nothing; names both.
    """
    live = _repository().live()
    if live is None or live.lineage != lineage_of(digest) or live.bundle not in ("", digest):
        raise IntegrityError(
            "another bundle answers than the one that was named",
            value="nothing" if live is None else live.bundle or live.lineage,
            limit=digest,
            next_step="ecclip release reconcile",
        )


def served() -> dict[str, list[int] | str]:
    """Return which versions answer at the address of each server: one, where all is well; or why it does not say."""
    found: dict[str, list[int] | str] = {}
    if (deployment := _running()) is None:
        return found
    for address in deployment.addresses:
        with deployment.control(address) as control:
            try:
                found[address] = control.loaded(ENTRY)
            except ServiceError as error:
                found[address] = str(error)
    return found


def reconcile_servers() -> list[Reconciled]:
    """Bring every server to what ``live.json`` names, and say of each what was wrong or why it lags behind.

    The embedded server is not started for it; before the first deployment there is nothing to bring it to.

    Raises:
        IntegrityError: live.json cannot be read.
    """
    deployment = _running()
    return [] if deployment is None else reconcile_replicas(deployment)


def watch_servers(stopped: threading.Event, every_s: float) -> None:
    """Reconcile the servers every ``every_s`` seconds until ``stopped`` is set; errors are logged and end nothing."""
    supervise(
        "servers",
        lambda: require_reconciled(reconcile_servers()),
        lambda: True,
        stopped,
        every_s=every_s,
        longest_pause_s=every_s,
    )


def require_reconciled(servers: list[Reconciled]) -> None:
    """Raise ServiceError if a server does not answer from what is live; names each with the reason."""
    lagging = [str(server) for server in servers if server.lags]
    if lagging:
        raise ServiceError(
            "not every server answers from what is live",
            value="; ".join(lagging),
            next_step="ecclip serving reconcile, once it runs again",
        )


def _running() -> Deployment | None:
    """Return the deployment of servers elsewhere, or of the embedded one if it runs: it is not started for it."""
    here = not settings().triton_addresses
    return None if here and EmbeddedServer().attach() is None else _deployment()


def _model_repository() -> Path:
    return settings().work / "model_repository"


def _repository() -> Repository:
    return Repository(_model_repository())


def _target(cfg: EngineConfig) -> Target:
    now = settings()
    if now.serving_platform != "embedded" and not now.triton_addresses:
        raise ConfigError(
            "the embedded server has the python backend alone",
            value=f"ECCLIP_SERVING_PLATFORM={now.serving_platform}",
            limit="embedded",
            next_step="set ECCLIP_TRITON_ADDRESSES to the servers that have this platform",
        )
    return Target(now.serving_platform, now.serving_gpu, now.serving_engine_cache, cfg, now.work / "engines")


def _deployment(cfg: DeployConfig | None = None) -> Deployment:
    elsewhere, key = settings().triton_addresses, settings().triton_control_key
    if not elsewhere:
        return Deployment(_repository(), EmbeddedServer().start().address, cfg=cfg)
    return Deployment(_repository(), *elsewhere, cfg=cfg, key=key.get_secret_value() if key else None)
