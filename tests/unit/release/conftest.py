"""A table in the place of the inference server, and a gate with one floor."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from server_tables import ServerTable

_GATE = {"gate": {"metrics": {"category/both/top1": {"floor": 0.5, "allowed_drop": 0.02}}}}


@pytest.fixture
def server(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> ServerTable:
    (workspace / "params.yaml").write_text(yaml.safe_dump(_GATE))
    table = ServerTable()
    table.install(monkeypatch)
    return table
