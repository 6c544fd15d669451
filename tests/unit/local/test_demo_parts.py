"""What the demo shows and where it works."""

from __future__ import annotations

import configparser
import io
import json
import stat
from pathlib import Path

import pytest
from rich.console import Console

from ecclip.core import ConfigError
from ecclip.local import airflow, demo, following, sample_config
from ecclip.local.show import NightDisplay, print_summary

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ECCLIP_WORKSPACE", str(tmp_path))
    return tmp_path


def view() -> following.NightView:
    tasks = [
        following.TaskView("nightly_catalog", "land", "success", 1.5, 1, {"outcome": "unchanged"}),
        following.TaskView("nightly_catalog", "ingest", "success", 20.0, 2, {"outcome": "written"}),
        following.TaskView("train_towers", "register", "success", 3.0, 1, {"version": "7"}),
    ]
    return following.NightView("2026-11-01", {(task.dag, task.task): task for task in tasks})


def test_airflow_listens_on_loopback_with_secrets_only_the_owner_reads(workspace: Path) -> None:
    airflow.write_config(12345)
    config = configparser.ConfigParser(interpolation=None)
    config.read(workspace / "work" / "airflow" / "airflow.cfg")
    assert config["core"]["execution_api_server_url"] == "http://127.0.0.1:12345/execution/"
    assert config["core"]["load_examples"] == "False"
    for name in ("airflow.cfg", "passwords.json", "secrets.json"):
        assert stat.S_IMODE((workspace / "work" / "airflow" / name).stat().st_mode) == 0o600
    login = json.loads((workspace / "work" / "airflow" / "passwords.json").read_text())
    assert login == {"admin": airflow.password()}
    assert len(airflow.password()) >= 16


def test_settings_of_another_airflow_do_not_leak_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "postgresql://somebody/else")
    monkeypatch.setenv("HTTP_PROXY", "http://proxy")
    env = airflow.airflow_env()
    assert "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN" not in env
    assert "127.0.0.1" in env["NO_PROXY"]


@pytest.mark.parametrize("name", ["HF_HUB_OFFLINE", "HF_HOME", "HTTPS_PROXY", "OPENBLAS_CORETYPE", "TZ", "LANG"])
def test_what_the_user_set_reaches_the_tasks(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.delenv(name, raising=False)
    assert name not in airflow.airflow_env(), "nothing is switched for the user"
    monkeypatch.setenv(name, "as the user says")
    assert airflow.airflow_env()[name] == "as the user says"


def test_hosts_that_the_user_reaches_without_a_proxy_stay_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "mlflow.example,127.0.0.1")
    monkeypatch.delenv("no_proxy", raising=False)
    assert airflow.airflow_env()["no_proxy"].split(",")[:2] == ["mlflow.example", "127.0.0.1"]


def test_without_a_terminal_every_finished_task_is_one_line() -> None:
    text, night = io.StringIO(), view()
    with NightDisplay(Console(file=text, width=120)) as display:
        for task in night.tasks.values():
            display.show(night, task)
    lines = text.getvalue().splitlines()
    assert len(lines) == 3
    assert lines[0].split() == ["2026-11-01", "nightly_catalog.land", "success", "1.5", "s", "unchanged"]
    assert lines[2].endswith("version 7")


def test_the_summary_says_what_was_unchanged() -> None:
    text = io.StringIO()
    print_summary(Console(file=text, width=120), [view(), view()])
    assert "2 of 4 stages were unchanged" in text.getvalue()
    assert "24.5 s" in text.getvalue()


def test_a_task_log_is_readable_with_the_text_of_its_error(tmp_path: Path) -> None:
    records = [
        {"level": "info", "event": "::group::Pre Execute"},
        {"level": "info", "event": "reading"},
        {
            "level": "error",
            "event": "Task failed with exception",
            "error_detail": [{"exc_type": "AirflowFailException", "exc_value": "GateError: too few rows"}],
        },
    ]
    (tmp_path / "attempt=1.log").write_text("\n".join(map(json.dumps, records)))
    lines = following.readable_log(tmp_path / "attempt=1.log")
    assert lines == [
        "info: reading",
        "error: Task failed with exception",
        "  AirflowFailException: GateError: too few rows",
    ]


def test_the_sample_takes_params_yaml_and_what_is_given_instead(workspace: Path) -> None:
    (workspace / "params.yaml").write_text("sample: {listings: 50, seed: 3}\n")
    cfg = sample_config(nights=2, seed=9)
    assert (cfg.listings, cfg.nights, cfg.seed) == (50, 2, 9)


def test_a_mapping_without_its_dump_is_refused_before_anything_starts(workspace: Path) -> None:
    with pytest.raises(ConfigError, match="DUMP"):
        demo(mapping="myntra_fashion")
    assert list(workspace.iterdir()) == []
