"""Airflow on this machine: its own home below work/, SQLite, LocalExecutor, everything on loopback."""

from __future__ import annotations

import configparser
import json
import os
import secrets
import subprocess
import sys
from pathlib import Path
from typing import Any

import ecclip
from ecclip.core import PRIVATE_UMASK, ServiceError, private_file, settings, write_atomic
from ecclip.core.services import Service, Services, log_end
from ecclip.formats.documents import read_json_object

API_SERVER, SCHEDULER = "airflow-api-server", "airflow-scheduler"
COMPONENTS = (API_SERVER, SCHEDULER, "airflow-dag-processor", "airflow-triggerer")
USER = "admin"


def airflow_home() -> Path:
    """Return this workspace's AIRFLOW_HOME."""
    return settings().work / "airflow"


def password() -> str:
    """Return the generated password of the user ``admin``."""
    return str(_secrets()["password"])


def pools() -> dict[str, dict[str, Any]]:
    """Return the pools that the DAGs ask for by name: pools.json beside them, as ``airflow pools import`` reads it.

    Raises:
        IntegrityError: it is missing or no JSON object.
    """
    return read_json_object(_dags_folder() / "pools.json", "copy it from ecclip's own dags/", "the list of pools")


def airflow_env() -> dict[str, str]:
    """Return the environment of Airflow's processes: the caller's without another Airflow's settings and proxies."""
    env = {key: value for key, value in os.environ.items() if not key.startswith(("AIRFLOW_", "_AIRFLOW_"))}
    scripts = Path(sys.executable).parent
    known = (os.environ.get("NO_PROXY"), os.environ.get("no_proxy"), "127.0.0.1,localhost")
    direct = ",".join(dict.fromkeys(filter(None, known)))
    env.update(
        AIRFLOW_HOME=str(airflow_home()),
        ECCLIP_WORKSPACE=str(settings().workspace.resolve()),
        PATH=f"{scripts}{os.pathsep}{env.get('PATH', '')}",
        NO_PROXY=direct,
        no_proxy=direct,
        DO_NOT_TRACK="1",
        SCARF_NO_ANALYTICS="true",
        PYTHONUNBUFFERED="1",
    )
    # nights are triggered by hand here: no dump arrives on a schedule
    for name, value in (("ECCLIP_SCHEDULE", "none"), ("ECCLIP_GPU_POOL", "gpu"), ("ECCLIP_RETRY_DELAY_S", "5")):
        env.setdefault(name, value)
    return env


def start_airflow(port: int) -> list[Service]:
    """Write the configuration, bring the database up to date and start all components but the scheduler.

    Raises:
        ServiceError: the database cannot be created.
    """
    write_config(port)
    _migrate()
    return [
        _start(API_SERVER, ["api-server", "--host", "127.0.0.1", "--port", str(port)], port),
        _start("airflow-dag-processor", ["dag-processor"]),
        _start("airflow-triggerer", ["triggerer", "--skip-serve-logs"]),
    ]


def start_scheduler() -> Service:
    """Start the scheduler: runs continue and new ones begin."""
    command = [sys.executable, "-m", "ecclip.local.scheduler", "--skip-serve-logs"]
    return Services().start(SCHEDULER, command, airflow_env())


def _start(name: str, arguments: list[str], port: int | None = None) -> Service:
    return Services().start(name, [*_airflow(), *arguments], airflow_env(), port=port)


def write_config(port: int) -> None:
    """Write airflow.cfg and the password file for an API server on ``port``."""
    home, kept = airflow_home(), _secrets()
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    passwords = home / "passwords.json"
    write_atomic(passwords, json.dumps({USER: kept["password"]}), mode=0o600)
    config = configparser.ConfigParser(interpolation=None)
    config.read_dict(_options(port, kept))
    lines = []
    for section in config.sections():
        lines += [f"[{section}]", *(f"{key} = {value}" for key, value in config[section].items()), ""]
    write_atomic(home / "airflow.cfg", "\n".join(lines), mode=0o600)


def _options(port: int, kept: dict[str, str]) -> dict[str, dict[str, str]]:
    home = airflow_home()
    return {
        "core": {
            "dags_folder": str(_dags_folder()),
            "plugins_folder": str(home / "plugins"),
            "executor": "LocalExecutor",
            "parallelism": "3",
            "load_examples": "False",
            "dags_are_paused_at_creation": "False",
            "hostname_callable": "socket.gethostname",
            "fernet_key": kept["fernet_key"],
            "simple_auth_manager_users": f"{USER}:admin",
            "simple_auth_manager_passwords_file": str(home / "passwords.json"),
            "execution_api_server_url": f"http://127.0.0.1:{port}/execution/",
            "killed_task_cleanup_time": "5",
        },
        "database": {"sql_alchemy_conn": f"sqlite:///{home / 'airflow.db'}"},
        "api": {"secret_key": kept["secret_key"], "base_url": f"http://127.0.0.1:{port}", "workers": "1"},
        "api_auth": {"jwt_secret": kept["jwt_secret"], "jwt_issuer": "ecclip-local"},
        # measured on two cores: with Airflow's own values a short task costs 3-6 s, with these about 1 s; a worker
        # notices the end of its task only at the next heartbeat
        "workers": {"min_heartbeat_interval": "1", "execution_api_timeout": "30"},
        "scheduler": {
            "scheduler_idle_sleep_time": "0.5",
            "task_instance_heartbeat_timeout": "60",
            "orphaned_tasks_check_interval": "30",
        },
        "dag_processor": {
            "min_file_process_interval": "60",
            "refresh_interval": "60",
            "parsing_processes": "1",
        },
        "logging": {
            "base_log_folder": str(home / "logs"),
            "dag_processor_child_process_log_directory": str(home / "logs" / "dag_processor"),
            "colored_console_log": "False",
            "file_task_handler_new_folder_permissions": "0o700",
            "file_task_handler_new_file_permissions": "0o600",
        },
    }


def _dags_folder() -> Path:
    """Return the workspace's DAGs, else those of the package."""
    own = settings().workspace.resolve() / "dags"
    return own.resolve() if own.is_dir() else Path(ecclip.__file__).resolve().parents[1] / "dags"


def _secrets() -> dict[str, str]:
    """Return the generated secrets of this workspace; created once, readable by the owner alone."""
    path = airflow_home() / "secrets.json"
    if not path.is_file():
        import base64

        made = {
            "password": secrets.token_urlsafe(12),
            "jwt_secret": secrets.token_hex(32),
            "secret_key": secrets.token_hex(16),
            "fernet_key": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        }
        write_atomic(path, json.dumps(made), mode=0o600)
    return dict(json.loads(path.read_text()))


def _airflow() -> list[str]:
    return [sys.executable, "-m", "airflow"]


def _migrate() -> None:
    """Create or upgrade the database, unless this version of Airflow did it before."""
    from importlib.metadata import version

    marker, current = airflow_home() / ".migrated", version("apache-airflow")
    if marker.is_file() and marker.read_text() == current and (airflow_home() / "airflow.db").is_file():
        return
    log = Services().log_path("airflow-migrate")
    with private_file(log) as output:
        done = subprocess.run(
            [*_airflow(), "db", "migrate"],
            env=airflow_env(),
            cwd=settings().workspace,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            umask=PRIVATE_UMASK,
            check=False,
        )
    if done.returncode:
        raise ServiceError("Airflow's database cannot be made", value=log_end(log), next_step=f"see {log}")
    write_atomic(marker, current)
