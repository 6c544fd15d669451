"""From a bundle to answers: bless on the server that serves, go live, roll back. Safe to kill and to run again."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from pydantic import Field

from ecclip.core import GateError, ServiceError, StageConfig, fail_point, get_logger, lack_of_space, patient
from ecclip.serving.deploy.activation import beside_live, load_entry, load_graphs, reconcile
from ecclip.serving.deploy.costs import BudgetConfig, costs, over_budget
from ecclip.serving.deploy.examination import Blessing, examine
from ecclip.serving.deploy.platforms import CANDIDATE, ENTRY
from ecclip.serving.deploy.repository import Repository, Staged
from ecclip.serving.deploy.retention import prune
from ecclip.serving.golden import read_golden
from ecclip.serving.server.control import Control

_ROUNDS = 3  # what is too slow is measured again: load passes, a slow model stays slow; by judgment
_LIVE_S = 10.0  # for a server to say that it runs, which a busy one takes longer for; by judgment


class DeployConfig(StageConfig):
    """What a version needs to be blessed, besides reproducing the golden answers, and how many old ones are kept."""

    budget: BudgetConfig = BudgetConfig()
    keep: int = Field(
        3,
        ge=0,
        description="older versions that stay in the model repository, besides the live one and the one before; "
        "by judgment",
    )


class Deployment:
    """The versions of one model repository, and the servers (replicas) that answer from it.

    Every change holds the repository's lock. ``live.json`` is written last, once every server answers from the new
    version, so a killed change has not happened: the next one, or the next start of a server, continues from what was
    committed.
    """

    def __init__(
        self, repository: Repository, *addresses: str, cfg: DeployConfig | None = None, key: str | None = None
    ) -> None:
        """``key`` is the control key of servers that run elsewhere; the embedded one's lies in the repository."""
        self.repository = repository
        self.addresses = addresses
        self.cfg = cfg or DeployConfig()
        self._key = key

    @property
    def address(self) -> str:
        """The server that examines candidates."""
        return self.addresses[0]

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
                fail_point("bless.loaded")
                blessing = self._within_budget(control, staged, self._examine(control, CANDIDATE, staged))
            except ServiceError as error:
                if (full := lack_of_space(error)) is not None:  # of the disk or of /dev/shm: no fault of the version
                    raise full from error
                blessing = Blessing(version, False, [str(error)])
            finally:
                control.unload(CANDIDATE)
            if not blessing.passed:
                reconcile(control, self.repository)
            fail_point("bless.examined")
            self.repository.write_blessing(version, vars(blessing) | {"staged": staged.digest})
            get_logger().info("examined", **vars(blessing))
            return blessing

    def go_live(self, version: int) -> None:
        """Make a blessed version live on every server. On each it must answer the golden listings once more.

        Raises:
            GateError: not blessed with these files, or its answers differ; its predecessor keeps serving everywhere.
            IntegrityError: the version is not what was staged; nothing has changed.
            ServiceError: a server does not answer or does not load it; its predecessor keeps serving everywhere.
        """
        with self.repository.lock(), self._servers() as servers:
            staged = self.repository.verify(version)
            self._require_blessing(staged)
            silent = [server.address for server in servers if not is_running(server)]
            if silent:
                raise ServiceError(
                    "not every server answers, and a deployment changes all of them or none",
                    value=", ".join(silent),
                    next_step="start it, or take it out of ECCLIP_TRITON_ADDRESSES; the version before keeps serving",
                )
            try:
                for server in servers:
                    self._switch(server, version)
                    fail_point("go_live.switched")
                    self._require_golden_answers(server, staged)
                fail_point("go_live.examined")
                live = self.repository.commit(version)
            except (GateError, ServiceError, OSError):  # also of a full disk: what answers is what live.json says
                self._restore(servers)
                raise
            get_logger().info("live", **live.model_dump())
            fail_point("go_live.committed")
            prune(self.repository, self.cfg.keep)

    def roll_back(self, version: int) -> None:
        """Make an earlier version live again; it has been blessed before and is usually still loaded.

        A server that does not answer or does not load it does not hold the others up: it lags behind until
        :func:`ecclip.serving.reconcile_servers` finds it.

        Raises:
            GateError: the version was never blessed with these files.
            ServiceError: it answers on no server; the version before keeps serving.
        """
        with self.repository.lock(), self._servers() as servers:
            staged = self.repository.verify(version)
            self._require_blessing(staged)
            lagging = dict(self._switched_back(servers, version))
            fail_point("roll_back.switched")
            if len(lagging) == len(servers):
                self._restore(servers)
                raise next(iter(lagging.values()))
            try:
                live = self.repository.commit(version)
            except OSError:
                self._restore(servers)
                raise
            get_logger().warning("rolled back", **live.model_dump(), lagging=[*lagging])
            fail_point("roll_back.committed")

    def control(self, address: str | None = None) -> Control:
        """Return the model control of a server, by default of the one that examines candidates."""
        return Control(address or self.address, self._key or self.repository.control_key())

    @contextmanager
    def _servers(self) -> Iterator[list[Control]]:
        with ExitStack() as stack:
            yield [stack.enter_context(self.control(address)) for address in self.addresses]

    def _switched_back(self, servers: list[Control], version: int) -> Iterator[tuple[str, ServiceError]]:
        """Switch each server to a version; yield the address of each that does not, and why."""
        for server in servers:
            try:
                if not is_running(server):
                    raise ServiceError(
                        "the server does not answer",
                        value=server.address,
                        next_step="start it: make up, or at its own place",
                    )
                self._switch(server, version)
            except ServiceError as error:
                get_logger().error("a server lags behind", address=server.address, error=str(error))
                yield server.address, error

    def _switch(self, control: Control, version: int) -> None:
        if control.loaded(CANDIDATE):  # a killed examination left it
            control.unload(CANDIDATE)
        load_graphs(control, self.repository, beside_live(self.repository, version))
        fail_point("switch.graphs")
        load_entry(control, self.repository, ENTRY, version)

    def _restore(self, servers: list[Control]) -> None:
        """Bring every server back to what is live; one that cannot be is found again by the next reconciliation."""
        for server in servers:
            try:
                reconcile(server, self.repository)
            except (ServiceError, OSError) as error:
                get_logger().error("a server lags behind", address=server.address, error=str(error))

    def _require_blessing(self, staged: Staged) -> None:
        if not self.repository.is_blessed(staged):
            record = self.repository.blessing(staged.version)
            reasons = record["reasons"][:3] if record else "never examined"
            raise GateError(
                "the version is not blessed", value=f"{staged.version}: {reasons}", next_step="bless it first"
            )

    def _require_golden_answers(self, server: Control, staged: Staged) -> None:
        blessing = self._examine(server, ENTRY, staged)
        if not blessing.passed:
            raise GateError(
                "the live model does not give the golden answers",
                value=f"{server.address}: {blessing.reasons[:3]}",
                next_step="the version before keeps serving; bless this one again and read the reasons",
            )

    def _examine(self, server: Control, model: str, staged: Staged) -> Blessing:
        return examine(server.address, model, staged, read_golden(self.repository.golden_path(staged.version)))

    def _within_budget(self, server: Control, staged: Staged, blessing: Blessing) -> Blessing:
        """Hold a candidate with the right answers to what the champion costs on the same server."""
        if not blessing.passed:
            return blessing
        live = self.repository.live()
        champion = None if live is None or live.version == staged.version else self.repository.staged(live.version)
        versions = [(CANDIDATE, staged), *([] if champion is None else [(ENTRY, champion)])]
        golden = read_golden(self.repository.golden_path(staged.version))
        questions = [one.product for one in golden if not one.answer.error]
        for _ in range(_ROUNDS):
            candidate, *others = costs(server.address, self.repository, versions, questions)
            over = over_budget(candidate, *others, budget=self.cfg.budget)
            if not over.keys() & {"max_latency_ms", "latency_ratio"}:
                break
        return dataclasses.replace(
            blessing,
            passed=not over,
            reasons=[*over.values()],
            cost=dataclasses.asdict(candidate),
            champion_cost=dataclasses.asdict(others[0]) if others else {},
        )


def is_running(server: Control) -> bool:
    """Return whether a server says that it runs; a busy one is given time to."""
    return server.is_live(patient(_LIVE_S))
