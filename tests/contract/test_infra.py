"""The images install what the locks say, and nothing beside it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from ecclip.local.airflow import POOLS

ROOT = Path(__file__).parents[2]
IMAGES = sorted((ROOT / "infra" / "images").glob("*.Dockerfile"))


@pytest.mark.parametrize("image", IMAGES, ids=lambda path: path.name)
def test_packages_come_from_hashed_locks_alone(image: Path) -> None:
    text = image.read_text().replace("\\\n", " ")
    installs = re.findall(r"pip install[^&\n]*", text)
    assert installs
    for install in installs:
        of_a_lock = re.search(r"--require-hashes -r (\S+)", install)
        assert of_a_lock or "--no-deps --no-build-isolation --editable ." in install, install
        assert of_a_lock is None or (ROOT / "requirements" / Path(of_a_lock[1]).name).is_file()
    assert re.findall(r"[a-z]==\d", text) == []


def test_the_worker_can_build_the_package_without_a_registry() -> None:
    """It is installed without build isolation: what builds it is in the lock of the image."""
    locked = (ROOT / "requirements" / "production.txt").read_text()
    for name in ("hatchling", "editables"):
        assert re.search(rf"^{name}==", locked, re.MULTILINE), name


def test_the_compose_file_makes_the_pools_that_tasks_ask_for() -> None:
    services = yaml.safe_load((ROOT / "infra" / "compose.yaml").read_text())["services"]
    commands = "\n".join(services["airflow-migrate"]["command"])
    made = {name: int(slots) for name, slots in re.findall(r"airflow pools set (\S+) (\d+) ", commands)}
    assert made == POOLS
    assert services["airflow-scheduler"]["environment"]["ECCLIP_GPU_POOL"] in POOLS
