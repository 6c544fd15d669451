"""A real Triton server on a work folder of its own, for tests of the serving room."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from serving_bundles import tiny_bundle

from ecclip.core import settings
from ecclip.serving import Deployment, EmbeddedServer

ENVIRONMENTS = Path(__file__).parents[2] / "work" / "env"
SERVING_PYTHON = ENVIRONMENTS / "serving" / "bin" / "python"


def embedded_server(work: Path, python: Path = SERVING_PYTHON) -> EmbeddedServer:
    """Return the server of a work folder, with the environments of this checkout; not started."""
    if not python.exists():
        pytest.skip("the serving environment is missing: make setup")
    return EmbeddedServer(work, ENVIRONMENTS / "triton", python)


def use_serving_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have this process and its children start the server from the environments of this checkout."""
    if not SERVING_PYTHON.exists():
        pytest.skip("the serving environment is missing: make setup")
    monkeypatch.setenv("ECCLIP_TRITON_HOME", str(ENVIRONMENTS / "triton"))
    monkeypatch.setenv("ECCLIP_SERVING_PYTHON", str(SERVING_PYTHON))
    settings.cache_clear()


@contextmanager
def live_server(
    work: Path, python: Path = SERVING_PYTHON, bundle: Path | None = None
) -> Iterator[tuple[EmbeddedServer, Deployment]]:
    """Yield a running server on which version 1 is live (default: the bundle of seed 0); nothing remains afterwards."""
    server = embedded_server(work, python)
    bundle = bundle or tiny_bundle(0)
    try:
        deployment = Deployment(server.repository, server.start().address)
        server.repository.stage(bundle, 1)
        assert deployment.bless(1).passed
        deployment.go_live(1)
        yield server, deployment
    finally:
        running = server.attach()
        server.stop()
        assert running is None or running.remains() == []
