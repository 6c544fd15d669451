"""From the spool of a training to its MLflow run: every line once, however often the sender is killed.

A metric in MLflow's store is its key, step, time stamp and value together, and all four come from the spool: what is
sent again after a kill is identical to what is already there. The offset only saves work.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecclip.atomic import fsync_path
from ecclip.core import ContractError, canonical_json, get_logger, locked, settings, write_atomic
from ecclip.registry.store import answering, client, experiment_id, log_batches
from ecclip.registry.tracking.names import metric_name, parameters
from ecclip.registry.tracking.training_runs import last_steps, remove_twins, run_is_active, training_run
from ecclip.spool import Entry, Status, read_spool

if TYPE_CHECKING:
    from mlflow import MlflowClient

SPOOLS = ("metrics.jsonl", "system.jsonl")
PREVIEWS = ("sample.png", "sample.txt")
_OWN_STORE = "of the workspace"  # its path is not kept: a workspace may be moved
_ENTRIES_PER_BATCH = 100  # lines of the spool; a killed delivery repeats one batch at most


@dataclass(frozen=True, kw_only=True)
class Delivered:
    """What has reached MLflow: offsets in bytes by spool, parameters and files by name, the run's last status."""

    uri: str = ""
    run_id: str = ""
    offsets: dict[str, int] = field(default_factory=dict)
    sent: tuple[str, ...] = ()
    status: Status | None = None


class Delivery:
    """Sends what one training left in its folder; only the holder of the folder's lock may use it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.training = _read_description(folder)
        self.state = _read_state(folder / "delivered.json")
        self._has: dict[str, int] = {}
        self._connected = False

    def send(self) -> bool:
        """Send one batch; return whether there was anything to send.

        Raises:
            ServiceError: MLflow does not answer; nothing is lost, call again.
        """
        try:
            with answering():
                store = client()
                if not self._connected:
                    self._connect(store)
                batches = [self._send_batch(store, name) for name in SPOOLS]
                return any(batches) or self._send_file(store)
        except BaseException:
            self._connected = False  # the run may be gone: look again
            raise

    def finish(self, status: Status) -> None:
        """Set the final status of the run if it is still running, and remove duplicate runs made by a slow server."""
        with answering():
            if self.state.status == "RUNNING":
                self._set_status(client(), Entry(time=_last_time(self.folder), end=0, status=status))
            remove_twins(client(), self.training["key"], self.state.run_id)

    def _connect(self, store: MlflowClient) -> None:
        """Find the run of this training, or create it."""
        uri, state = settings().mlflow_tracking_uri or _OWN_STORE, self.state
        if state.uri != uri or not run_is_active(store, state.run_id):
            found = training_run(store, self.training["key"])
            self._has = {} if found is None else last_steps(store, found)
            run_id = self._create(store) if found is None else str(found.info.run_id)
            self._save(Delivered(uri=uri, run_id=run_id))
        if "parameters" not in self.state.sent:
            self._send_parameters(store)
        self._connected = True

    def _create(self, store: MlflowClient) -> str:
        tags = {"training_key": self.training["key"], "mlflow.source.name": "ecclip", **self.training["tags"]}
        started = next(read_spool(self.folder / SPOOLS[0]), None)
        run = store.create_run(
            experiment_id(store),
            start_time=None if started is None else started.time,
            tags=tags,
            run_name=self.training["name"],
        )
        return str(run.info.run_id)

    def _send_parameters(self, store: MlflowClient) -> None:
        from mlflow.entities import Param

        params = [Param(name, value) for name, value in parameters("train", self.training["config"]).items()]
        log_batches(store, self.state.run_id, params=params)
        self._save(replace(self.state, sent=(*self.state.sent, "parameters")))

    def _send_batch(self, store: MlflowClient, name: str) -> bool:
        path = self.folder / name
        entries = list(islice(read_spool(path, self.state.offsets.get(name, 0)), _ENTRIES_PER_BATCH))
        if not entries:
            return False
        fsync_path(path)  # after a power loss the spool must not have less than MLflow
        self._send_metrics(store, entries)
        for mark in [entry for entry in entries if entry.status is not None][-1:]:
            self._set_status(store, mark)
        self._save(replace(self.state, offsets={**self.state.offsets, name: entries[-1].end}))
        return True

    def _send_metrics(self, store: MlflowClient, entries: list[Entry]) -> None:
        from mlflow.entities import Metric

        metrics = [
            Metric(metric_name(name), value, entry.time, entry.step)
            for entry in entries
            for name, value in entry.values.items()
            if entry.step > self._has.get(metric_name(name), -1)
        ]
        log_batches(store, self.state.run_id, metrics=metrics)

    def _set_status(self, store: MlflowClient, entry: Entry) -> None:
        if entry.status == "RUNNING":
            store.update_run(self.state.run_id, status="RUNNING")
        else:
            store.set_terminated(self.state.run_id, entry.status, end_time=entry.time)
        self._save(replace(self.state, status=entry.status))

    def _send_file(self, store: MlflowClient) -> bool:
        waiting = [name for name in PREVIEWS if name not in self.state.sent and (self.folder / name).is_file()]
        for name in waiting[:1]:
            store.log_artifact(self.state.run_id, str(self.folder / name), "sample")
            self._save(replace(self.state, sent=(*self.state.sent, name)))
        return bool(waiting)

    def _save(self, state: Delivered) -> None:
        self.state = state
        write_atomic(self.folder / "delivered.json", canonical_json(asdict(state)))


def deliver(folder: Path) -> str:
    """Send everything that a training left in its folder and return its run id; the training must have ended.

    Raises:
        ServiceError: MLflow does not answer, or another process is sending for too long.
    """
    with locked(folder / "deliver.lock", "the delivery of metrics"):
        delivery = Delivery(folder)
        while delivery.send():
            pass
        delivery.finish("KILLED")
    get_logger().info("metrics delivered", folder=str(folder), run_id=delivery.state.run_id)
    return delivery.state.run_id


def _read_description(folder: Path) -> dict[str, Any]:
    path = folder / "run.json"
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
        return {name: description[name] for name in ("key", "name", "tags", "config")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ContractError(
            "the folder holds no tracked training",
            value=path,
            next_step="name the folder of a training, with run.json in it",
        ) from error


def _read_state(path: Path) -> Delivered:
    if not path.is_file():
        return Delivered()
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        return Delivered(**{**stored, "sent": tuple(stored["sent"])})
    except (ValueError, KeyError, TypeError) as error:
        get_logger().warning("the delivery state cannot be read; it is rebuilt from the run", error=str(error))
        return Delivered()


def _last_time(folder: Path) -> int:
    return max((entry.time for name in SPOOLS for entry in read_spool(folder / name)), default=0)
