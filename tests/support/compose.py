"""infra/compose*.yaml as Compose reads them, and their services as processes of this machine."""

from __future__ import annotations

import base64
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from ecclip.core.services import Service, Services, choose_port

ROOT = Path(__file__).parents[2]
INFRA = ROOT / "infra"
HOSTS = ("airflow-api:8080", "mlflow:5000", "redis:6379", "triton:8001")
_VARIABLE = re.compile(r"\$\{(\w+):\?[^}]*\}")
_VALUES = {"AIRFLOW_FERNET_KEY": base64.urlsafe_b64encode(bytes(32)).decode()}  # one that encrypts, unlike a word
_IMAGE = "/opt/ecclip"  # where the images have the project


@dataclass(frozen=True)
class Composed:
    """Services of one or several compose files, the later ones over the earlier ones, and the variables they want."""

    services: dict[str, dict[str, Any]]
    wanted: frozenset[str]

    def of_image(self, image: str) -> dict[str, dict[str, Any]]:
        """Return the services of an image by name."""
        return {name: service for name, service in self.services.items() if service.get("image") == image}

    def command(self, name: str, places: Mapping[str, str]) -> list[str]:
        """Return program and arguments of a service, every text of ``places`` replaced by another."""
        service = self.services[name]
        return [replaced(word, places) for word in [*service.get("entrypoint", ()), *service["command"]]]

    def environment(self, name: str, places: Mapping[str, str]) -> dict[str, str]:
        """Return the variables that a service is given, likewise replaced."""
        given = self.services[name].get("environment", {})
        return {key: replaced(str(value), places) for key, value in given.items()}

    def mounts(self, name: str) -> dict[str, str]:
        """Return the volume that is mounted at each path of a service."""
        volumes = (one.removesuffix(":ro").rpartition(":") for one in self.services[name].get("volumes", ()))
        return {path: volume for volume, _, path in volumes}


def composed(*names: str) -> Composed:
    """Return the files of infra/ together; a variable has its own name in small letters as its value."""
    services: dict[str, dict[str, Any]] = {}
    wanted: set[str] = set()
    for name in names:
        text = (INFRA / name).read_text()
        wanted |= set(_VARIABLE.findall(text))
        for service, described in _services(text).items():
            before = services.get(service, {})
            if extended := described.pop("extends", None):
                before = _services((INFRA / extended["file"]).read_text())[extended["service"]]
            services[service] = _merged(before, described)
    return Composed(services, frozenset(wanted))


def replaced(text: str, places: Mapping[str, str]) -> str:
    """Return a text with everything in ``places`` replaced, longer texts first, what replaces it left alone."""
    if not places:
        return text
    longest_first = sorted(places, key=len, reverse=True)
    return re.sub("|".join(map(re.escape, longest_first)), lambda match: places[match[0]], text)


def _services(text: str) -> dict[str, dict[str, Any]]:
    filled = _VARIABLE.sub(lambda match: _VALUES.get(match[1], match[1].lower()), text)
    assert "${" not in filled, "a variable that may be left out"
    return dict(yaml.safe_load(filled)["services"])


def _merged(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """Merge as Compose does: mappings key by key, volumes and ports together, everything else replaced."""
    merged = {**before, **after}
    if "environment" in after:
        merged["environment"] = {**before.get("environment", {}), **after["environment"]}
    for listed in ("volumes", "ports"):
        if listed in after:
            merged[listed] = [*before.get(listed, []), *after[listed]]
    return merged


@dataclass
class Here:
    """Services of compose files as processes, below a folder: volumes are folders, hosts are ports of loopback.

    ``pythons`` names the interpreter that stands for each image, ``more`` variables that every service is given.
    """

    folder: Path
    files: Composed
    pythons: dict[str, Path] = field(default_factory=dict)
    more: dict[str, str] = field(default_factory=dict)
    processes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Take ports, and make the volumes as empty folders."""
        self.services = Services(self.folder / "services")
        self.ports = {host: choose_port(str(self.folder), slot) for slot, host in enumerate(HOSTS)}
        for name in {volume for service in self.files.services for volume in self.files.mounts(service).values()}:
            self.volume(name).mkdir(parents=True, exist_ok=True)

    def volume(self, name: str) -> Path:
        """Return the folder that is a volume."""
        return self.folder / "volumes" / name

    def start(self, name: str, *more: str) -> Service:
        """Start a service; ``more`` are arguments for this machine."""
        places = self._places(name)
        command = [*self.files.command(name, places), *more]
        script = INFRA / "images" / f"{command[0]}.sh"
        if script.is_file():  # the image's entry point, a copy of which has the places of this machine
            here = self.folder / script.name
            here.write_text(replaced(script.read_text(), places))
            command = ["bash", str(here), *command[1:]]
        self.processes.append(name)
        return self.services.start(name, command, self._environment(name, places))

    def run(self, name: str) -> None:
        """Run a service that ends, and see it end well."""
        places = self._places(name)
        command, environment = self.files.command(name, places), self._environment(name, places)
        done = subprocess.run(command, env=environment, cwd=self.folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-3000:]}"

    def stop(self) -> None:
        """Stop all that was started, the last first."""
        for name in reversed(self.processes):
            self.services.stop(name, grace_s=20.0)

    def log(self, name: str) -> str:
        """Return the end of what a service has said."""
        return self.services.log_path(name).read_text(errors="replace")[-3000:]

    def _places(self, name: str) -> dict[str, str]:
        database = f"sqlite:///{self.folder / 'airflow.db'}"
        everywhere = {path: volume for one in self.files.services for path, volume in self.files.mounts(one).items()}
        mounts = {path: str(self.volume(volume)) for path, volume in {**everywhere, **self.files.mounts(name)}.items()}
        hosts = {host: f"127.0.0.1:{port}" for host, port in self.ports.items()}
        arguments = {"--host=0.0.0.0": "--host=127.0.0.1", "--port=5000": f"--port={self.ports['mlflow:5000']}"}
        url = "postgresql+psycopg2://airflow:postgres_password@postgres/airflow"
        known = f"--allowed-hosts=mlflow:5000,127.0.0.1:{self.ports['mlflow:5000']}"
        told = {word: known for word in self.files.services["mlflow"]["command"] if word.startswith("--allowed-hosts=")}
        return {_IMAGE: str(ROOT), url: database, **mounts, **hosts, **arguments, **told}

    def _environment(self, name: str, places: Mapping[str, str]) -> dict[str, str]:
        scripts = self.pythons.get(self.files.services[name].get("image", ""), Path(sys.executable)).parent
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("AIRFLOW", "ECCLIP", "MLFLOW"))}
        return {
            **kept,
            "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "AIRFLOW_HOME": str(self.folder / "homes" / name),
            "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(self.ports["airflow-api:8080"]),
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(choose_port(str(self.folder / name), 0)),
            "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(choose_port(str(self.folder / name), 1)),
            **self.files.environment(name, places),
            "ECCLIP_DEVICE": "cpu",
            **self.more,
        }
