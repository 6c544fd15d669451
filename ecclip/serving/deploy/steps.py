"""From a bundle to answers: stage, bless on the same server, go live, roll back. Safe to kill and to run again."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import Field

from ecclip.client import ProductClient
from ecclip.core import ConfigError, GateError, ServiceError, StageConfig, digest_of, get_logger, settings
from ecclip.errors import ClientError
from ecclip.serving.comparison import Tolerance, compare
from ecclip.serving.deploy.activation import beside_live, load_entry, load_graphs, reconcile
from ecclip.serving.deploy.platforms import CANDIDATE, ENTRY, Target
from ecclip.serving.deploy.repository import Repository, Staged
from ecclip.serving.engine.config import EngineConfig
from ecclip.serving.golden import Golden, read_golden
from ecclip.serving.server.access import client_options
from ecclip.serving.server.control import Control
from ecclip.serving.server.embedded import EmbeddedServer

_LATENCY_QUESTIONS = 12  # requests of one listing each, of which the median counts; by judgment


class DeployConfig(StageConfig):
    """What a version needs to be blessed, besides reproducing the golden answers; by judgment, for two busy cores."""

    max_latency_ms: float = Field(
        2000.0, gt=0, description="largest median latency of a request with one listing, milliseconds"
    )


@dataclass(frozen=True)
class Blessing:
    """Whether a version may serve; ``latency_ms`` is the median of requests with one listing."""

    version: int
    passed: bool
    reasons: list[str] = field(default_factory=list)
    max_difference: float = 0.0
    latency_ms: float = 0.0


class Deployment:
    """The versions of one server and its model repository.

    Every change holds the repository's lock. ``live.json`` is written last, so a killed change has not happened: the
    next one, or the next start of the server, continues from what was committed.
    """

    def __init__(
        self, repository: Repository, address: str, cfg: DeployConfig | None = None, key: str | None = None
    ) -> None:
        """``key`` is the control key of a server that runs elsewhere; the embedded one's lies in the repository."""
        self.repository = repository
        self.address = address
        self.cfg = cfg or DeployConfig()
        self._key = key

    def bless(self, version: int) -> Blessing:
        """Load a version as ``candidate`` beside the live one, ask it the golden listings, and record the outcome.

        Raises:
            IntegrityError: the version is not staged or not what was staged; nothing is loaded then.
        """
        with self.repository.lock(), self.control() as control:
            staged = self.repository.verify(version)
            reconcile(control, self.repository)
            try:
                load_graphs(control, self.repository, beside_live(self.repository, version))
                load_entry(control, self.repository, CANDIDATE, version)
                blessing = self._examine(CANDIDATE, staged)
            except ServiceError as error:
                blessing = Blessing(version, False, [str(error)])
            finally:
                control.unload(CANDIDATE)
            if not blessing.passed:
                reconcile(control, self.repository)
            self.repository.write_blessing(version, vars(blessing) | {"staged": staged.digest})
            get_logger().info("examined", **vars(blessing))
            return blessing

    def go_live(self, version: int) -> None:
        """Make a blessed version live. It must answer the golden listings once more, as the public model.

        Raises:
            GateError: not blessed with these files, or its answers differ; its predecessor keeps serving.
            IntegrityError: the version is not what was staged; nothing has changed.
        """
        with self.repository.lock(), self.control() as control:
            staged = self.repository.verify(version)
            self._require_blessing(staged)
            try:
                self._switch(control, version)
                blessing = self._examine(ENTRY, staged)
                if not blessing.passed:
                    raise GateError(
                        "the live model does not give the golden answers",
                        value=blessing.reasons[:3],
                        next_step="the version before keeps serving; bless this one again and read the reasons",
                    )
            except (GateError, ServiceError):
                reconcile(control, self.repository)
                raise
            live = self.repository.commit(version)
            get_logger().info("live", **live.model_dump())

    def roll_back(self, version: int) -> None:
        """Make an earlier version live again; it has been blessed before and is usually still loaded.

        Raises:
            GateError: the version was never blessed with these files.
            ServiceError: it does not answer; the version before keeps serving.
        """
        with self.repository.lock(), self.control() as control:
            staged = self.repository.verify(version)
            self._require_blessing(staged)
            try:
                self._switch(control, version)
            except ServiceError:
                reconcile(control, self.repository)
                raise
            live = self.repository.commit(version)
            get_logger().warning("rolled back", **live.model_dump())

    def control(self) -> Control:
        """Return the model control of the server."""
        return Control(self.address, self._key or self.repository.control_key())

    def _switch(self, control: Control, version: int) -> None:
        if control.loaded(CANDIDATE):  # a killed examination left it
            control.unload(CANDIDATE)
        load_graphs(control, self.repository, beside_live(self.repository, version))
        load_entry(control, self.repository, ENTRY, version)

    def _require_blessing(self, staged: Staged) -> None:
        if not self.repository.is_blessed(staged):
            record = self.repository.blessing(staged.version)
            reasons = record["reasons"][:3] if record else "never examined"
            raise GateError(
                "the version is not blessed", value=f"{staged.version}: {reasons}", next_step="bless it first"
            )

    def _examine(self, model: str, staged: Staged) -> Blessing:
        golden = read_golden(self.repository.golden_path(staged.version))
        options = client_options(model=model, version=str(staged.version))
        try:
            with ProductClient(self.address, options) as client:
                answers = client.ask([one.product for one in golden])
                latency_ms = _latency_ms(client, golden)
        except ClientError as error:
            return Blessing(staged.version, False, [str(error)])
        found = compare(golden, answers, Tolerance(**staged.tolerance))
        reasons = found.reasons + [
            f"{one.listing_id}: lineage {answer.lineage!r} instead of {staged.lineage!r}"
            for one, answer in zip(golden, answers, strict=True)
            if answer.lineage != staged.lineage
        ]
        if model == CANDIDATE and latency_ms > self.cfg.max_latency_ms:
            reasons.append(f"one listing takes {latency_ms} ms (limit {self.cfg.max_latency_ms})")
        return Blessing(staged.version, not reasons, reasons, found.embedding, latency_ms)


def stage_bundle(bundle: Path, wanted: int, cfg: EngineConfig | None = None) -> Staged:
    """Place a bundle in the model repository for the server of the settings; nothing is loaded.

    One that lies there keeps its version; another becomes ``wanted``, or the next that is free. See
    :meth:`Repository.stage`.

    Raises:
        ConfigError: the settings name no server that has the platform, or not its GPU.
    """
    repository = Repository(_model_repository(), _target(cfg or EngineConfig()))
    with repository.lock():
        return repository.stage(bundle, repository.number_of(digest_of(bundle), wanted) or wanted)


def blessed_version(digest: str) -> int | None:
    """Return the version of a bundle that lies in the model repository whole and blessed, or None.

    Raises:
        IntegrityError: it lies there, but not as it was staged.
    """
    repository = _repository()
    number = repository.number_of(digest)
    return number if number is not None and repository.is_blessed(repository.verify(number)) else None


def bless(version: int, cfg: DeployConfig | None = None) -> Blessing:
    """Examine a staged version on the running server (the embedded one is started if necessary)."""
    return _deployment(cfg).bless(version)


def go_live(version: int) -> None:
    """Make a blessed version live; GateError if its answers differ, and the old version keeps serving."""
    _deployment().go_live(version)


def roll_back(version: int) -> None:
    """Make an earlier, blessed version live again."""
    _deployment().roll_back(version)


def live_version() -> int | None:
    """Return the version that answers by the last commit, or None."""
    live = _repository().live()
    return live.version if live else None


def served() -> dict[str, list[int]]:
    """Return which versions answer at the address of each server that runs: one, where all is well.

    Raises:
        ServiceError: a server does not say.
    """
    deployment = _running()
    if deployment is None:
        return {}
    with deployment.control() as control:
        return {deployment.address: control.loaded(ENTRY)}


def reconcile_server() -> list[str]:
    """Bring each server that runs to what ``live.json`` names, and return what was wrong, in words.

    Raises:
        ServiceError: a server does not say, or does not load it.
    """
    deployment, live = _running(), live_version()
    if deployment is None or live is None:
        return []
    with deployment.repository.lock(), deployment.control() as control:
        found = control.loaded(ENTRY)
        if found == [live]:
            return []
        reconcile(control, deployment.repository)
    return [f"{deployment.address} served {found or 'nothing'} and serves {live} again"]


def _running() -> Deployment | None:
    """Return the deployment of a server that runs; the embedded one is not started for it."""
    here = settings().triton_address is None
    return None if here and EmbeddedServer().attach() is None else _deployment()


def _model_repository() -> Path:
    return settings().work / "model_repository"


def _repository() -> Repository:
    return Repository(_model_repository())


def _target(cfg: EngineConfig) -> Target:
    now = settings()
    if now.serving_platform != "embedded" and now.triton_address is None:
        raise ConfigError(
            "the embedded server has the python backend alone",
            value=f"ECCLIP_SERVING_PLATFORM={now.serving_platform}",
            limit="embedded",
            next_step="set ECCLIP_TRITON_ADDRESS to a server that has this platform",
        )
    return Target(now.serving_platform, now.serving_gpu, now.serving_engine_cache, cfg, now.work / "engines")


def _deployment(cfg: DeployConfig | None = None) -> Deployment:
    elsewhere, key = settings().triton_address, settings().triton_control_key
    if elsewhere is None:
        return Deployment(_repository(), EmbeddedServer().start().address, cfg)
    return Deployment(_repository(), elsewhere, cfg, key.get_secret_value() if key else None)


def _latency_ms(client: ProductClient, golden: list[Golden]) -> float:
    good = [one.product for one in golden if not one.answer.error]
    seconds = []
    for number in range(_LATENCY_QUESTIONS):
        started = time.perf_counter()
        client.ask([good[number % len(good)]])
        seconds.append(time.perf_counter() - started)
    return round(1e3 * statistics.median(seconds), 3)
