"""The nightly DAG of one night replayed by Airflow itself: one output, one hash, one version."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from dumps import market, write_dump

ROOT = Path(__file__).parents[2]
NIGHT = "2026-11-01"

pytestmark = [pytest.mark.slow, pytest.mark.fault(6), pytest.mark.timeout(900)]

# a process of its own: Airflow reads its home when it is imported
_REPLAY = """
import json
from datetime import UTC, datetime
from nightly_catalog import nightly_catalog
from ecclip.core import digest_of, settings
from ecclip.registry import dvc_version

seen = []
for _ in range(3):
    run = nightly_catalog().test(logical_date=datetime(2026, 11, 1, tzinfo=UTC))
    work = settings().work
    folders = sorted(path.parent for path in work.glob("*/%(night)s/**/manifest.json") if "dumps" not in path.parts)
    digests = {str(folder.relative_to(work)): digest_of(folder) for folder in folders}
    states = {task.task_id: str(task.state) for task in run.get_task_instances()}
    seen.append({"state": str(run.state), "tasks": states, "digests": digests, "version": dvc_version("%(night)s")})
print("REPLAYED" + json.dumps(seen))
"""


def test_a_dag_run_replayed_three_times_has_one_output_and_one_version(tmp_path: Path) -> None:
    shop = tmp_path / "shop"
    shop.mkdir()
    for name in ("params.yaml", "dvc.yaml", ".dvcignore", ".gitignore"):
        shutil.copy(ROOT / name, shop / name)
    (shop / "ecclip").symlink_to(ROOT / "ecclip")
    shutil.copytree(ROOT / ".dvc", shop / ".dvc", ignore=shutil.ignore_patterns("tmp", "cache", "config.local"))
    config = (ROOT / ".dvc" / "config").read_text().replace("[core]", "[core]\n    no_scm = true")
    (shop / ".dvc" / "config").write_text(config)
    rows, photos = market(16)
    write_dump(shop / "work" / "dumps" / NIGHT, rows, photos)
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("AIRFLOW", "ECCLIP_"))}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = kept | {
        "AIRFLOW_HOME": str(tmp_path / "airflow"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "false",
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "PYTHONPATH": f"{ROOT / 'dags'}{os.pathsep}{ROOT}",
        "ECCLIP_WORKSPACE": str(shop),
        "PATH": path,
    }
    migrated = subprocess.run([sys.executable, "-m", "airflow", "db", "migrate"], env=environment, capture_output=True)
    assert migrated.returncode == 0, migrated.stderr.decode()[-3000:]
    script = _REPLAY % {"night": NIGHT}
    done = subprocess.run([sys.executable, "-c", script], env=environment, cwd=shop, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    line = next(line for line in done.stdout.splitlines() if line.startswith("REPLAYED"))
    first, *others = json.loads(line.removeprefix("REPLAYED"))
    assert first["state"] == "success", first
    assert set(first["tasks"].values()) == {"success"}
    assert len(first["digests"]) == 6
    assert first["version"].endswith(".dir")
    assert others == [first, first]
