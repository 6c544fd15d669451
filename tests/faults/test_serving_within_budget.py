"""A version that gives the right answers at several times the champion's cost is not blessed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from costly_bundles import costly_bundle
from serving_bundles import tiny_bundle
from serving_server import live_server

from ecclip.client import Product, ProductClient
from ecclip.core import GateError, digest_of
from ecclip.serving import DeployConfig, Deployment

pytestmark = [pytest.mark.heavy, pytest.mark.fault(23)]

_FREE = 1e6  # a ratio that nothing reaches


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with live_server(tmp_path_factory.mktemp("budget")) as (_, deployment):
        yield deployment


def _with(deployment: Deployment, **budget: float) -> Deployment:
    cfg = DeployConfig.model_validate({"budget": budget})
    return Deployment(deployment.repository, deployment.address, cfg=cfg)


@pytest.mark.parametrize(
    ("version", "kind", "free", "reason"),
    [
        (2, "slow", (), r"one listing takes \S+ ms, \S+ times .*deploy.budget.latency_ratio"),
        (3, "hungry", ("latency",), r"its processes hold \S+ MiB, \S+ times .*deploy.budget.memory_ratio"),
        (4, "large", ("latency", "memory"), r"its files have \S+ MiB, \S+ times .*deploy.budget.size_ratio"),
    ],
    ids=["slow", "hungry", "large"],
)
def test_what_costs_far_more_than_the_champion_is_not_blessed(
    server: Deployment, tmp_path: Path, version: int, kind: str, free: tuple[str, ...], reason: str
) -> None:
    server.repository.stage(costly_bundle(tmp_path / kind, kind), version)
    budget: dict[str, Any] = {f"{name}_ratio": _FREE for name in free}
    blessing = _with(server, **budget).bless(version)
    assert not blessing.passed
    assert [bool(re.match(reason, one)) for one in blessing.reasons] == [True], blessing.reasons
    with pytest.raises(GateError, match=r"not blessed.*times the champion's"):
        server.go_live(version)
    with ProductClient(server.address) as client:
        assert client.ask([Product(title="red steel mug")])[0].lineage == digest_of(tiny_bundle(0))[:16]
    wide = {f"{name}_ratio": _FREE for name in ("latency", "memory", "size")}
    assert _with(server, **wide).bless(version).passed, "a costly model that is meant passes with a wider budget"


def test_an_ordinary_version_is_measured_beside_the_champion_and_passes(server: Deployment) -> None:
    server.repository.stage(tiny_bundle(1), 5)
    blessing = server.bless(5)
    assert blessing.passed, blessing.reasons
    assert blessing.cost.keys() == blessing.champion_cost.keys() == {"latency_ms", "memory_mib", "size_mib"}
    assert all((*blessing.cost.values(), *blessing.champion_cost.values()))


def test_the_first_version_has_the_fixed_budget_alone(server: Deployment) -> None:
    alone = _with(server, max_latency_ms=0.01, latency_ratio=_FREE).bless(1)
    assert [one.endswith("(limit 0.01 ms)") for one in alone.reasons] == [True]
    assert alone.champion_cost == {}
