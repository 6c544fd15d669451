"""Register a bundle as one MLflow run and one model version, however often and concurrently it is called."""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecclip.atomic import link_or_copy
from ecclip.core import ContractError, get_logger, locked, parse_night, settings
from ecclip.formats.bundle import DESCRIPTION, REPORT, REPORT_PAGE, lineage_of
from ecclip.registry.bundles import BundleFacts, keep_bundle, read_facts
from ecclip.registry.card import BUNDLE, describe, write_card
from ecclip.registry.data_versions import dvc_version
from ecclip.registry.store import CHALLENGER, MODEL, OVERTAKEN, answering, client, experiment_id, log_batches
from ecclip.registry.tracking.artifacts import own_folder
from ecclip.registry.tracking.names import metric_name, training_metric_name
from ecclip.registry.tracking.tracked import deliver_all, training_key
from ecclip.registry.tracking.training_runs import run_is_active, steps_of, training_run
from ecclip.registry.versions import ModelRef, version_of

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

_REPORTS = (REPORT_PAGE, REPORT, DESCRIPTION)


@dataclass(frozen=True, kw_only=True)
class Registered:
    """The version of a bundle, its run and its digest."""

    version: str
    run_id: str
    digest: str


def register(bundle: Path, night: str, metrics_spool: Path | None = None, *, challenges: bool = True) -> Registered:
    """Register a bundle as a version of the model; idempotent by the bundle's digest.

    One that ``challenges`` gets the alias @challenger; what is entered into a lost registry does not.

    ``metrics_spool`` is training's ``metrics.jsonl`` (one ``{"step", "name", "value"}`` per line). A tracked training
    already has a run: the rest of its spool is delivered, and that run becomes the bundle's. Every write is a
    repeatable one (same key, same time stamp), so a call that was killed is completed by the next one and nothing is
    there twice.

    Raises:
        IntegrityError: the bundle is not what its manifest says.
        ServiceError: the registry does not answer, or another process is registering for too long.
    """
    facts = read_facts(bundle, parse_night(night))
    spooled = [] if metrics_spool is None else _read_spool(metrics_spool)
    training = None if metrics_spool is None else training_key(metrics_spool.parent)
    stored = keep_bundle(bundle)
    with locked(settings().work / "run" / "register.lock", "the registration"), answering():
        store = client()
        if metrics_spool is not None:
            deliver_all(metrics_spool.parent)
        run = _run(store, facts, training)
        reference = version_of(facts.digest)
        if reference is None:  # the version comes last: where it is, everything else is
            model_id = _logged_model(store, facts, run)
            _log_values(store, facts, run, model_id, spooled)
            _log_files(store, facts, run, model_id, stored)
            reference = _create_version(store, facts, run, model_id, stored)
        elif run.info.run_id != reference.run_id and not run.data.metrics:  # its own was deleted
            _log_values(store, facts, run, None, spooled)
        _complete_tags(store, reference, facts)
        if challenges and "champion_reason" not in reference.tags:  # a former champion does not become challenger again
            store.set_registered_model_alias(MODEL, CHALLENGER, reference.version)
            if OVERTAKEN in reference.tags:  # by a champion that may have been rolled back since
                store.delete_model_version_tag(MODEL, reference.version, OVERTAKEN)
        ended = run.info.end_time or run.info.start_time
        store.set_terminated(run.info.run_id, "FINISHED", end_time=ended)
    get_logger().info("registered", version=reference.version, digest=facts.digest, night=night)
    return Registered(version=reference.version, run_id=reference.run_id, digest=facts.digest)


def _run(store: MlflowClient, facts: BundleFacts, training: str | None) -> Run:
    """Return the run of the bundle; the digest is a tag from its first moment, so that a second call finds it.

    It is the run of the training, unless another bundle was made from that training before.
    """
    from mlflow.entities import RunTag

    experiment = experiment_id(store)
    found = store.search_runs([experiment], f"tags.bundle_digest = '{facts.digest}'", order_by=["start_time ASC"])
    if found:
        return found[0]
    name = f"{facts.night} {lineage_of(facts.digest)[:8]}"
    trained = None if training is None else training_run(store, training)
    tags = _tags(facts)
    if trained is not None and "bundle_digest" not in trained.data.tags:
        run_id = trained.info.run_id
        store.update_run(run_id, name=name)
        store.log_batch(run_id, tags=[RunTag(key, str(value)) for key, value in tags.items()])
        return store.get_run(run_id)
    source = {} if trained is None else {"training_run": trained.info.run_id}
    return store.create_run(experiment, tags=tags | source | {"mlflow.source.name": "ecclip"}, run_name=name)


def _logged_model(store: MlflowClient, facts: BundleFacts, run: Run) -> str:
    experiment = experiment_id(store)
    found = store.search_logged_models([experiment], filter_string=f"tags.bundle_digest = '{facts.digest}'")
    if found:
        return str(found[0].model_id)
    model = store.create_logged_model(
        experiment, name=f"{MODEL}-{facts.night}", source_run_id=run.info.run_id, tags=_tags(facts), model_type="bundle"
    )
    return str(model.model_id)


def _log_values(
    store: MlflowClient, facts: BundleFacts, run: Run, model_id: str | None, spooled: list[tuple[str, float, int]]
) -> None:
    from mlflow.entities import Metric, Param

    run_id, started = run.info.run_id, run.info.start_time
    # the store refuses a model's metric that it has, so a repeated call sends only what is missing
    known = store.get_run(run_id).data.metrics
    metrics = [
        Metric(metric_name(name), value, started, 0, model_id=model_id, run_id=run_id)
        for name, value in sorted(facts.metrics.items())
        if metric_name(name) not in known
    ]
    # a time stamp derived from the step makes sending a metric again harmless
    has = {name: steps_of(store, run, name) for name in {name for name, _, _ in spooled}}
    metrics += [Metric(name, value, started + step, step) for name, value, step in spooled if step not in has[name]]
    params = [Param(metric_name(name), value[:6000]) for name, value in sorted(facts.params.items())]
    log_batches(store, run_id, metrics=metrics, params=params)


def _read_spool(spool: Path) -> list[tuple[str, float, int]]:
    """Return training's metrics as (name, value, step)."""
    found = []
    for number, line in enumerate(spool.read_text().splitlines(), start=1):
        try:
            record = json.loads(line)
            found.append((training_metric_name(str(record["name"])), float(record["value"]), int(record["step"])))
        except (ValueError, KeyError, TypeError) as error:
            raise ContractError(
                "a line of the metrics spool cannot be read",
                value=f"{spool}:{number}",
                next_step="remove this line; what else was measured stays",
            ) from error
    return found


def _log_files(store: MlflowClient, facts: BundleFacts, run: Run, model_id: str, stored: Path) -> None:
    for name in _REPORTS:
        if (stored / name).is_file():
            store.log_artifact(run.info.run_id, str(stored / name))
    _log_bundle(store, model_id, stored)
    with tempfile.TemporaryDirectory(prefix="ecclip-card-") as folder:
        write_card(facts, stored, Path(folder), run.info.run_id)
        store.log_model_artifacts(model_id, folder)
    store.finalize_logged_model(model_id, "READY")


def _log_bundle(store: MlflowClient, model_id: str, stored: Path) -> None:
    """Put the bundle's files beside the model's: hard links in a local store, since a bundle never changes."""
    own = own_folder(str(store.get_logged_model(model_id).artifact_location))
    if own is not None:
        shutil.rmtree(own / BUNDLE, ignore_errors=True)  # of a call that was killed
        shutil.copytree(stored, own / BUNDLE, copy_function=link_or_copy)
    else:
        store.log_model_artifacts(model_id, str(stored), BUNDLE)


def _create_version(store: MlflowClient, facts: BundleFacts, run: Run, model_id: str, stored: Path) -> ModelRef:
    from mlflow.exceptions import MlflowException

    try:
        store.create_registered_model(
            MODEL, description="Product understanding: category, attributes, age restriction, embedding, groups."
        )
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    version = store.create_model_version(
        MODEL,
        source=f"models:/{model_id}",
        run_id=run.info.run_id,
        tags=_tags(facts),
        description=describe(facts, stored),
        await_creation_for=0,
        model_id=model_id,
    )
    return ModelRef(
        version=str(version.version),
        digest=facts.digest,
        run_id=run.info.run_id,
        night=facts.night,
        tags=_tags(facts),
    )


def _tags(facts: BundleFacts) -> dict[str, Any]:
    tags = {
        "bundle_digest": facts.digest,
        "lineage_id": lineage_of(facts.digest),
        "snapshot_digest": facts.snapshot_digest,
        "git_commit": facts.git_commit,
        "night": facts.night,
        "airflow_run": settings().run_id,
        "dvc_version": dvc_version(facts.night),
    }
    return {name: value for name, value in tags.items() if value}


def _complete_tags(store: MlflowClient, reference: ModelRef, facts: BundleFacts) -> None:
    """Add tags that were unknown when the version was created; existing tags are kept."""
    missing = {name: value for name, value in _tags(facts).items() if name not in reference.tags}
    has_run = bool(missing) and run_is_active(store, reference.run_id)  # a person may have deleted it
    for name, value in missing.items():
        store.set_model_version_tag(MODEL, reference.version, name, value)
        if has_run:
            store.set_tag(reference.run_id, name, value)
