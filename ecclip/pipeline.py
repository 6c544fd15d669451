"""The stages, what each reads and writes and where it runs.

:data:`STEPS` is the graph, once: the commands of stages, ``dvc.yaml`` (:mod:`ecclip.dvc_yaml`), the DAGs' chains,
benchmarks and tests follow from it, and all of them come through :func:`run_stage`; no stage knows which.
Paths are keyed by the night; ``{previous}`` is the last night before it that was published when it was landed.
"""

from __future__ import annotations

import importlib
import os
import sys
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import ecclip.nights
from ecclip.core import (
    ConfigError,
    NotReadyError,
    Report,
    StageConfig,
    bound,
    canonical_json,
    get_logger,
    parse_night,
    read_manifest,
    report_of,
    settings,
    source_files,
    write_atomic,
)
from ecclip.core.edited import read_section
from ecclip.renames import renamed_parameter
from ecclip.spool import DELIVERY

DELIVER_METRICS = (sys.executable, "-m", "ecclip", "registry", "follow")


@dataclass(frozen=True)
class Step:
    """A stage: where its function lives, what it reads and writes, and how a night runs it.

    Attributes:
        function: ``module:name``.
        inputs: the function's input paths by parameter name, relative to work/. Those that another stage writes
            decide the order in which the DAG runs them; ``../`` is what a person keeps beside work/.
        output: what it writes, relative to work/.
        dag: the Airflow DAG that runs it.
        runs_on: ``spark`` (the pool of that name), ``gpu`` (queue, pool and pod of the settings), or ``worker``.
        asset: what is published for other DAGs once the DAG has versioned the output.
        section: its section of params.yaml where that has another name than the stage.
        optional: inputs that a night before may lack: an empty folder then stands for them.
        external: what it reads lies outside the workspace: it looks there at every run, and what it copied is not
            versioned once more.
    """

    function: str
    inputs: dict[str, str]
    output: str
    dag: str
    runs_on: Literal["spark", "gpu", "worker"] = "worker"
    asset: str = ""
    section: str = ""
    optional: tuple[str, ...] = ()
    external: bool = False

    @property
    def room(self) -> str:
        """The room that the stage belongs to: ``catalog`` of ``ecclip.catalog.ingest.stage:ingest``."""
        return self.function.split(".")[1]

    @property
    def sources(self) -> list[str]:
        """The code that decides the stage's result, for DVC: files that its module's imports reach, by their folders.

        A folder with folders below it is named file by file: those below are of other stages. A stage's own key takes
        the very files (:func:`ecclip.core.fingerprint`).
        """
        root = Path(ecclip.__file__).parents[1]
        files = source_files(self.function.split(":")[0])
        named = {path if list(path.parent.glob("*/__init__.py")) else path.parent for path in files}
        return sorted(path.relative_to(root).as_posix() for path in named)


_CATALOG, _TRAIN, _PRODUCTS = "nightly_catalog", "train_towers", "product_groups"
STEPS: dict[str, Step] = {
    "extract": Step(
        "ecclip.catalog.source.stage:extract",
        {"inventory": "nights/{night}/inventory.json"},
        "nights/{night}/dump",
        _CATALOG,
        runs_on="spark",
        section="source",
        external=True,
    ),
    "land": Step(
        "ecclip.catalog.land.stage:land",
        {"dump": "nights/{night}/dump", "previous": "nights/{previous}/land"},
        "nights/{night}/land",
        _CATALOG,
    ),
    "ingest": Step(
        "ecclip.catalog.ingest.stage:ingest",
        {"landed": "nights/{night}/land"},
        "nights/{night}/ingest",
        _CATALOG,
        runs_on="spark",
    ),
    "check": Step(
        "ecclip.catalog.gate.stage:check",
        {
            "ingested": "nights/{night}/ingest",
            "previous": "snapshots/{previous}",
            "expectations": ecclip.nights.EXPECTATIONS,
        },
        "nights/{night}/check",
        _CATALOG,
        runs_on="spark",
    ),
    "clean": Step(
        "ecclip.catalog.clean.stage:clean",
        {
            "landed": "nights/{night}/land",
            "ingested": "nights/{night}/ingest",
            "verdict": "nights/{night}/check",
            "previous": "snapshots/{previous}",
        },
        "nights/{night}/clean",
        _CATALOG,
        runs_on="spark",
    ),
    "group": Step(
        "ecclip.catalog.group.stage:group",
        {"cleaned": "nights/{night}/clean", "previous": "snapshots/{previous}"},
        "nights/{night}/group",
        _CATALOG,
        runs_on="spark",
    ),
    "reference": Step(
        "ecclip.registry.starts:reference",
        {"cleaned": "nights/{night}/clean"},
        "nights/{night}/reference",
        _CATALOG,
    ),
    "score_pairs": Step(
        "ecclip.embed.stage:score_pairs",
        {"cleaned": "nights/{night}/clean", "reference": "nights/{night}/reference"},
        "nights/{night}/pairs",
        _CATALOG,
        runs_on="gpu",
    ),
    "publish": Step(
        "ecclip.catalog.publish.stage:publish",
        {
            "ingested": "nights/{night}/ingest",
            "checked": "nights/{night}/check",
            "cleaned": "nights/{night}/clean",
            "grouped": "nights/{night}/group",
            "pairs": "nights/{night}/pairs",
            "previous": "snapshots/{previous}",
            "corrections": ecclip.nights.CORRECTIONS,
            "taxonomies": ecclip.nights.TAXONOMIES,
        },
        "snapshots/{night}",
        _CATALOG,
        runs_on="spark",
        asset="snapshot",
    ),
    "start": Step("ecclip.registry.starts:start", {"snapshot": "snapshots/{night}"}, "nights/{night}/start", _TRAIN),
    "train": Step(
        "ecclip.train.run.stage:train",
        {"snapshot": "snapshots/{night}", "start": "nights/{night}/start"},
        "nights/{night}/train",
        _TRAIN,
        runs_on="gpu",
    ),
    "embed": Step(
        "ecclip.embed.stage:embed",
        {
            "snapshot": "snapshots/{night}",
            "trained": "nights/{night}/train",
            "policies": ecclip.nights.POLICIES,
        },
        "nights/{night}/embed",
        _TRAIN,
        runs_on="gpu",
        optional=("policies",),
    ),
    "evaluate": Step(
        "ecclip.tasks.stage:evaluate",
        {"snapshot": "snapshots/{night}", "embedded": "nights/{night}/embed"},
        "nights/{night}/evaluate",
        _TRAIN,
    ),
    "export": Step(
        "ecclip.serving.export.stage:export",
        {
            "snapshot": "snapshots/{night}",
            "trained": "nights/{night}/train",
            "evaluated": "nights/{night}/evaluate",
            "landed": "nights/{night}/land",
            "ingested": "nights/{night}/ingest",
        },
        "nights/{night}/bundle",
        _TRAIN,
        asset="bundle",
    ),
    "group_products": Step(
        "ecclip.tasks.matching.stage:group_products",
        {
            "snapshot": "snapshots/{night}",
            "embedded": "nights/{night}/embed",
            "previous": "nights/{previous}/products",
            "trained": "nights/{night}/train",
        },
        "nights/{night}/products",
        _PRODUCTS,
        asset="products",
        optional=("previous", "trained"),
    ),
}

# sections of params.yaml without a stage: the sample's, and those of the steps with side effects
OTHER_SECTIONS = {
    "sample": "ecclip.sample:SampleConfig",
    "gate": "ecclip.registry:GateConfig",
    "answers": "ecclip.serving:AnswersConfig",
    "deploy": "ecclip.serving:DeployConfig",
    "engine": "ecclip.serving:EngineConfig",
    "retrain": "ecclip.release:RetrainConfig",
}


def stages_of(dag: str, room: str | None = None) -> list[str]:
    """Return the stages that a DAG runs, in order; those of one room where it is given."""
    return [name for name, step in STEPS.items() if step.dag == dag and room in (None, step.room)]


# where a retraining beside the night's own writes what train_towers writes: template -> template
RETRAINED = {STEPS[name].output: f"nights/{{night}}/retrain/{name}" for name in stages_of(_TRAIN)}


def edges_of(dag: str) -> list[tuple[str, str]]:
    """Return the stages of a DAG that wait for each other: (first, next), without what follows from other pairs."""
    written = {STEPS[name].output: name for name in stages_of(dag)}
    direct = {
        name: {written[path] for path in STEPS[name].inputs.values() if path in written} for name in stages_of(dag)
    }

    def before(name: str) -> set[str]:
        return direct[name].union(*map(before, direct[name]))

    return [
        (first, name)
        for name, waits_for in direct.items()
        for first in sorted(waits_for)
        if not any(first in before(other) for other in waits_for)
    ]


def run_stage(name: str, night: str) -> Report:
    """Run one stage for one night and return its report.

    Raises:
        ConfigError: no such stage, or a parameter in params.yaml is wrong.
        EcclipError: what the stage itself raises.
    """
    return _run(name, night, {}, "")


def retrain_stage(name: str, night: str) -> Report:
    """Run one stage of the DAG ``train_towers`` beside the night's own: from the pretrained weights, whatever answers.

    It reads what its night's other DAGs have written, and writes below ``nights/{night}/retrain``; neither is recorded
    in dvc.yaml. Raises what :func:`run_stage` does.
    """
    return _run(name, night, RETRAINED, "retrain-")


def _run(name: str, night: str, moved: dict[str, str], prefix: str) -> Report:
    """Run a stage with some paths ``moved``, by their templates."""
    if name not in STEPS:
        raise ConfigError("no such stage", value=name, limit=", ".join(STEPS), next_step="name one of these stages")
    with bound(night=parse_night(night), stage=name, run=settings().run_id):
        return _run_bound(name, night, moved, prefix)


def _run_bound(name: str, night: str, moved: dict[str, str], prefix: str) -> Report:
    # libraries seed their own hashes and threads from the environment: one value everywhere makes bytes equal
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    DELIVERY.set(DELIVER_METRICS)
    step, cfg = STEPS[name], stage_config(name)
    ecclip.nights.prepare_workspace()
    if name in ("extract", "land"):
        ecclip.nights.add_night(night)
    if moved and name == "start":
        cfg = cfg.model_copy(update={"mode": "pretrained"})
    inputs = {key: _place(template, night, moved) for key, template in step.inputs.items()}
    for name_of_input in step.optional:
        ecclip.nights.stand_in(inputs[name_of_input])
    report = _extracted_before(cfg, night) if step.external else None
    if report is None:
        report = _function(step)(cfg=cfg, **inputs, output=_place(step.output, night, moved))
    path = ecclip.nights.work_path(f"reports/{{night}}/{prefix}{name}.json", night)
    write_atomic(path, canonical_json(report.model_dump()))
    return typing.cast(Report, report)


def _place(template: str, night: str, moved: dict[str, str]) -> Path:
    return ecclip.nights.work_path(moved.get(template, template), night)


def why_waiting(night: str) -> str:
    """Return what is missing before the night can be extracted, or an empty text; a night that has been needs nothing.

    Raises:
        ConfigError: the section ``source`` is wrong.
        OSError: the source does not answer.
    """
    if read_manifest(ecclip.nights.work_path(STEPS["extract"].output, night)) is not None:
        return ""
    from ecclip.catalog.source.location import SourceConfig, locate, why_not_ready

    cfg = typing.cast(SourceConfig, stage_config("extract"))
    return why_not_ready(locate(cfg, night), cfg.markers)


def _extracted_before(cfg: StageConfig, night: str) -> Report | None:
    """Take the inventory of the source; where it is gone return the report of what the night has got of it."""
    from ecclip.catalog.source.inventory import take_inventory
    from ecclip.catalog.source.location import SourceConfig

    step = STEPS["extract"]
    try:
        take_inventory(typing.cast(SourceConfig, cfg), night, ecclip.nights.work_path(step.inputs["inventory"], night))
    except NotReadyError as error:
        report = report_of(ecclip.nights.work_path(step.output, night))
        if report is None:
            raise
        get_logger().warning("the night keeps what was extracted of it", reason=str(error))
        return report
    return None


def section_of(name: str) -> str:
    """Return the section of params.yaml that a stage, or another part, reads."""
    return (STEPS[name].section if name in STEPS else "") or name


def stage_model(name: str) -> type[StageConfig]:
    """Return the configuration class of a stage, or of one of the other sections of params.yaml."""
    if name in OTHER_SECTIONS:
        return typing.cast(type[StageConfig], _load(OTHER_SECTIONS[name]))
    return typing.cast(type[StageConfig], typing.get_type_hints(_function(STEPS[name]))["cfg"])


def stage_config(name: str, params: Path | None = None) -> StageConfig:
    """Return the validated section of params.yaml that belongs to a stage (missing section: the defaults)."""
    known = [*map(section_of, STEPS), *OTHER_SECTIONS]
    path = params or settings().workspace / "params.yaml"
    return read_section(path, section_of(name), stage_model(name), known, renamed_parameter)


def _function(step: Step) -> Any:
    return _load(step.function)


def _load(name: str) -> Any:
    module, attribute = name.split(":")
    return getattr(importlib.import_module(module), attribute)
