"""A store that an older MLflow has made is upgraded where MLflow does it, else the command that does is named."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from bundles import write_bundle
from registries import MLFLOW_WARNINGS

from ecclip import registry
from ecclip.core import ServiceError, settings

pytestmark = [pytest.mark.fault(51), pytest.mark.ops, pytest.mark.slow, pytest.mark.filterwarnings(*MLFLOW_WARNINGS)]


def _make_older(database: Path) -> str:
    """Make a store as the release of MLflow before the last change of its tables did; return its version."""
    import sqlalchemy
    from alembic import command
    from alembic.script import ScriptDirectory
    from mlflow.store.db.utils import _get_alembic_config
    from mlflow.store.tracking.dbmodels.initial_models import Base

    uri = f"sqlite:///{database}"
    engine, config = sqlalchemy.create_engine(uri), _get_alembic_config(uri)
    Base.metadata.create_all(engine)
    scripts = ScriptDirectory.from_config(config)
    head = scripts.get_current_head()
    assert head is not None
    before = str(scripts.get_revision(head).down_revision)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, before)
    engine.dispose()
    return before


def test_an_older_store_goes_on_or_is_named_with_the_command_that_upgrades_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = tmp_path / "older" / "work" / "mlflow" / "mlflow.db"
    database.parent.mkdir(parents=True)
    before = _make_older(database)
    monkeypatch.setenv("ECCLIP_WORKSPACE", str(tmp_path / "older"))
    settings.cache_clear()
    bundle = write_bundle(tmp_path / "bundle")
    assert registry.register(bundle, "2026-11-01").version == "1", "MLflow adds tables that are missing by itself"

    shutil.copytree(tmp_path / "older", tmp_path / "changed")
    with closing(sqlite3.connect(tmp_path / "changed" / "work" / "mlflow" / "mlflow.db")) as store, store:
        store.execute("UPDATE alembic_version SET version_num = ?", (before,))  # as where columns alone have changed
    monkeypatch.setenv("ECCLIP_WORKSPACE", str(tmp_path / "changed"))
    settings.cache_clear()
    with pytest.raises(ServiceError, match=r"out-of-date database schema.*mlflow db upgrade sqlite:///.*mlflow\.db"):
        registry.register(bundle, "2026-11-01")
