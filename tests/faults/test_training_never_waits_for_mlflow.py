"""MLflow may refuse, hang, be slow or broken: training does not notice, and afterwards every metric is there once."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from mlflow_servers import Server, mlflow_server
from registries import MLFLOW_WARNINGS, mlflow_client
from snapshots import write_snapshot
from tiny_training import TOWERS
from training_faults import exit_code, run_child, stage_process, start_child
from waiting import wait_ended, wait_until

from ecclip.core import settings
from ecclip.formats.start import Start, write_start
from ecclip.registry import deliver_all
from ecclip.registry.tracking.names import metric_name
from ecclip.spool import read_spool

pytestmark = [pytest.mark.heavy, pytest.mark.fault(16), pytest.mark.filterwarnings(*MLFLOW_WARNINGS)]

KILLED = -signal.SIGKILL
CONFIG = {
    "towers": TOWERS,
    "trainer": {
        "epochs": 4,
        "patience": None,
        "checkpoint_every": 5,
        "micro_batch_size": 16,
        "workers": 0,
        "sampler": {"batch_size": 16},
        "optimizer": {"freeze": []},
    },
    "validation_listings": 20,
}


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_snapshot(tmp_path_factory.mktemp("snapshot"), 140)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with mlflow_server(tmp_path_factory.mktemp("mlflow")) as started:
        yield started


class Night:
    """A training with the steps of every other, but with a key, and so a run, of its own."""

    def __init__(self, folder: Path, snapshot: Path, server: Server, number: int) -> None:
        self.folder, self.snapshot, self.server = folder, snapshot, server
        self.config = {
            **CONFIG,
            "fine_tune": {"learning_rate_scale": float(number)},
        }  # of no effect where nothing is fine-tuned
        self.start = folder / "start"
        write_start(Start(), self.start)
        self.output = folder / "train"
        self.environment = {
            "ECCLIP_WORKSPACE": str(folder),
            "ECCLIP_MLFLOW_TRACKING_URI": server.uri,
            "ECCLIP_TRACKING": "true",
            "PYTHONWARNINGS": "ignore",
        }

    def train(self, kill_at: int | None = None) -> int:
        arguments = (self.snapshot, self.start, self.output, self.config, kill_at, self.environment)
        return run_child(stage_process, *arguments)

    def begin(self, *hold_at: int) -> multiprocessing.process.BaseProcess:
        """Start a training that waits before some of its steps until :meth:`go` is called with them."""
        arguments = (self.snapshot, self.start, self.output, self.config, None, self.environment, hold_at)
        return start_child(stage_process, *arguments)

    def go(self, step: int) -> None:
        (self.folder / f"go-{step}").touch()

    def wait_for_step(self, step: int) -> None:
        timing = self.folder / "train.timing.jsonl"

        def is_taken() -> bool:
            return timing.exists() and len(timing.read_text().splitlines()) >= step

        wait_until(is_taken, f"step {step} of the training")

    @property
    def tracked(self) -> Path:
        return next((self.folder / "train.tracking").iterdir())

    def measured(self) -> dict[tuple[str, int], float]:
        """Return what training measured, from its output and not from the spool."""
        lines = map(json.loads, (self.output / "metrics.jsonl").read_text().splitlines())
        return {(metric_name(line["name"]), line["step"]): line["value"] for line in lines}


@pytest.fixture
def night(snapshot: Path, server: Server, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Night]:
    created = Night(tmp_path, snapshot, server, number=2 + zlib.crc32(request.node.name.encode()))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in created.environment.items():
            patch.setenv(name, value)
        settings.cache_clear()
        yield created
    server.go_on()
    server.way.set("open")
    settings.cache_clear()


def _assert_delivered_once(night: Night, status: str = "FINISHED") -> None:
    store, key = mlflow_client(), night.tracked.name
    experiment = store.get_experiment_by_name("ecclip")
    assert experiment is not None
    runs = store.search_runs([experiment.experiment_id], f"tags.training_key = '{key}'")
    assert len(runs) == 1
    run = runs[0]
    history = [metric for name in run.data.metrics for metric in store.get_metric_history(run.info.run_id, name)]
    counts = Counter((metric.key, metric.step) for metric in history)
    assert set(counts.values()) == {1}
    assert run.info.status == status
    spooled = {
        (metric_name(name), entry.step): value
        for path in ("metrics.jsonl", "system.jsonl")
        for entry in read_spool(night.tracked / path)
        for name, value in entry.values.items()
    }
    assert {(metric.key, metric.step): metric.value for metric in history} == spooled
    if night.output.exists():
        measured = night.measured()
        assert {place: value for place, value in spooled.items() if place in measured} == measured
        steps = {step for _, step in measured if step}
        assert {step for name, step in spooled if name == "speed/pairs_per_second"} == steps
    assert {file.path for file in store.list_artifacts(run.info.run_id, "sample")} == {
        "sample/sample.png",
        "sample/sample.txt",
    }


def _assert_nobody_was_asked(night: Night) -> None:
    """The training process can wait for no server: it started the one that delivers, and connected to nobody."""
    outside = (night.folder / "outside.txt").read_text().splitlines()
    assert [line.split()[0] for line in outside] == ["subprocess.Popen"]
    assert "'follow'" in outside[0]


FAULTS: dict[str, tuple[Callable[[Server], None], Callable[[Server], None]]] = {
    "refused": (lambda server: server.way.close(), lambda server: server.way.set("open")),
    "hung": (lambda server: server.stop_answering(), lambda server: server.go_on()),
    "slow": (lambda server: server.way.set("slow"), lambda server: server.way.set("open")),
    "errors": (lambda server: server.way.set("errors"), lambda server: server.way.set("open")),
}


@pytest.mark.parametrize(
    "fault", [pytest.param(fault, marks=pytest.mark.slow) if fault == "slow" else fault for fault in FAULTS]
)
def test_a_training_ends_during_the_fault_and_all_is_there_afterwards(night: Night, server: Server, fault: str) -> None:
    break_it, mend_it = FAULTS[fault]
    night.environment["ECCLIP_PATIENCE"] = "0.2"  # nothing comes through: waiting for the last of it is in vain
    break_it(server)
    assert night.train() == 0
    _assert_nobody_was_asked(night)
    mend_it(server)
    assert deliver_all(night.output) == [json.loads((night.tracked / "delivered.json").read_text())["run_id"]]
    _assert_delivered_once(night)
    deliver_all(night.output)
    _assert_delivered_once(night)


@pytest.mark.parametrize("fault", [pytest.param("hung", marks=pytest.mark.slow), "errors"])
def test_a_server_that_comes_back_gets_everything_without_anyone_asking(
    night: Night, server: Server, fault: str
) -> None:
    break_it, mend_it = FAULTS[fault]
    child = night.begin(4, 12)
    night.wait_for_step(4)
    break_it(server)
    night.go(4)
    night.wait_for_step(12)
    log = night.tracked / "deliver.log"
    wait_until(lambda: "cannot be sent yet" in log.read_text(), "a try that the fault makes fail")
    mend_it(server)
    night.go(12)
    assert exit_code(child) == 0
    _assert_nobody_was_asked(night)
    _assert_delivered_once(night)


def test_killed_trainings_and_deliverers_leave_one_run_with_every_metric_once(night: Night) -> None:
    assert night.train(kill_at=3) == KILLED
    assert night.train(kill_at=9) == KILLED
    child = night.begin(14)
    wait_until(lambda: _delivered_bytes(night) > 3000, "the first metrics in MLflow")
    for deliverer in psutil.Process(child.pid).children():
        os.kill(deliverer.pid, signal.SIGKILL)
    night.go(14)
    assert exit_code(child) == 0
    assert night.train() == 0  # unchanged: nothing is tracked a second time
    deliver_all(night.output)
    _assert_delivered_once(night)


def test_a_killed_training_is_killed_in_mlflow_too_and_its_deliverer_ends(night: Night) -> None:
    child = night.begin(14)
    wait_until(lambda: _delivered_bytes(night) > 3000, "the first metrics in MLflow")
    deliverers = psutil.Process(child.pid).children()
    assert len(deliverers) == 1
    os.kill(child.pid or 0, signal.SIGKILL)
    child.join()
    wait_ended(deliverers, "the deliverer of a killed training")
    _assert_delivered_once(night, "KILLED")


def _delivered_bytes(night: Night) -> int:
    try:
        state = json.loads((night.tracked / "delivered.json").read_text())
    except (OSError, StopIteration):
        return 0
    return int(state["offsets"].get("metrics.jsonl", 0))
