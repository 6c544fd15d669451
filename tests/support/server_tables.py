"""A table in place of the inference server, for tests of what a release decides: which bundle answers, what was asked.

It writes ``live.json`` as a deployment does. The server's own behaviour is shown by the tests of serving.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest

import ecclip.serving
from ecclip.core import GateError, digest_of, settings
from ecclip.formats.bundle import lineage_of
from ecclip.formats.live import Live, read_live, write_live
from ecclip.serving import Reconciled, Repository

_CALLS = (
    "stage_bundle",
    "blessed_version",
    "bless",
    "go_live",
    "roll_back",
    "live_version",
    "require_answering",
    "reconcile_servers",
    "served",
)


@dataclass
class ServerTable:
    """Knows bundles by the versions that they are on it; those in ``wrong`` do not give the golden answers."""

    staged: dict[str, int] = field(default_factory=dict)
    blessed: set[int] = field(default_factory=set)
    wrong: set[int] = field(default_factory=set)
    calls: list[tuple[str, int]] = field(default_factory=list)

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Stand in for the server until the test ends."""
        for name in _CALLS:
            monkeypatch.setattr(ecclip.serving, name, getattr(self, name))

    @property
    def live(self) -> int | None:
        """Return the version that answers."""
        return self.live_version()

    def stage_bundle(self, bundle: Path, _cfg: object) -> SimpleNamespace:
        digest, repository = digest_of(bundle), Repository(_repository())
        version = self.staged.setdefault(digest, repository.number_for(digest))
        repository.numbers.enter(version, digest)
        self.calls.append(("stage", version))
        return SimpleNamespace(version=version)

    def blessed_version(self, digest: str) -> int | None:
        version = self.staged.get(digest)
        return version if version in self.blessed else None

    def bless(self, version: int, _cfg: object) -> SimpleNamespace:
        self.calls.append(("bless", version))
        passed = version not in self.wrong
        self.blessed = self.blessed | {version} if passed else self.blessed - {version}
        return SimpleNamespace(passed=passed, reasons=["swapped labels"], max_difference=0.0, latency_ms=1.0)

    def go_live(self, version: int, _cfg: object) -> None:
        self._answer("go_live", version)

    def roll_back(self, version: int) -> None:
        self._answer("roll_back", version)

    def live_version(self) -> int | None:
        live = read_live(_repository())
        return live.version if live else None

    def require_answering(self, digest: str) -> None:
        live = read_live(_repository())
        assert live is not None
        assert live.bundle == digest

    def served(self) -> dict[str, list[int]]:
        return {}

    def reconcile_servers(self) -> list[Reconciled]:
        return []

    def _answer(self, call: str, version: int) -> None:
        if version not in self.blessed:
            raise GateError("the version is not blessed", value=version, next_step="bless it first")
        self.calls.append((call, version))
        before = self.live_version()
        if before == version:
            return
        digest = {number: digest for digest, number in self.staged.items()}[version]
        write_live(_repository(), Live(version=version, previous=before, lineage=lineage_of(digest), bundle=digest))


def _repository() -> Path:
    return settings().work / "model_repository"
