"""What the registry reads from a bundle, and the store that keeps bundles by their digest."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ecclip.atomic import MANIFEST
from ecclip.core import (
    ContractError,
    IntegrityError,
    canonical_json,
    digest_of,
    locked,
    read_manifest,
    recover_folder,
    replace_folder,
    settings,
    verify_folder,
)
from ecclip.registry.tracking.names import flat_parameters


@dataclass(frozen=True, kw_only=True)
class BundleFacts:
    """What a registered version tells about its bundle."""

    digest: str
    night: str
    snapshot_digest: str
    git_commit: str
    metrics: dict[str, float]
    rows: dict[str, Any]
    params: dict[str, str]
    labels: dict[str, int]
    embedding_dim: int | None
    files: dict[str, int]


def keep_bundle(bundle: Path) -> Path:
    """Copy a bundle to ``work/bundles/<digest>`` and return that folder; a sound copy that is there stays.

    Raises:
        IntegrityError: a file of the bundle is not what its manifest says.
    """
    verify_folder(bundle)
    digest = digest_of(bundle)
    store = settings().work / "bundles"
    target = store / digest
    with locked(store / f".{digest}.lock", f"bundle {digest[:16]}"):
        recover_folder(target)
        if target.is_dir() and _sound(target, digest):
            return target
        temporary = store / f".{digest}.tmp-{os.getpid()}"
        shutil.copytree(bundle, temporary)
        if not _sound(temporary, digest):
            shutil.rmtree(temporary)
            raise IntegrityError("the bundle changed while it was copied", value=bundle, limit=digest)
        replace_folder(temporary, target)
    return target


def read_facts(bundle: Path, night: str) -> BundleFacts:
    """Return the facts of a bundle; what an optional part does not tell stays empty.

    Raises:
        ContractError: the parts of the bundle do not belong together.
        IntegrityError: bundle.json, report.json or heads.json cannot be read.
    """
    manifest = verify_folder(bundle)
    description = read_description(bundle)
    report = _json(bundle / "report.json")
    lineage = description.get("lineage") or {}
    return BundleFacts(
        digest=digest_of(bundle),
        night=night,
        snapshot_digest=manifest.inputs.get("snapshot") or str(lineage.get("snapshot", "")),
        git_commit=str(lineage.get("git_commit") or ""),
        metrics=metrics_of(description),
        rows=report.get("rows") or {},
        params=flat_parameters(manifest.stage, manifest.config) | _neighbour_params(bundle, manifest.inputs),
        labels=_label_counts(bundle),
        embedding_dim=_heads(bundle).get("dim"),
        files={name: entry.bytes for name, entry in manifest.files.items()},
    )


def read_description(bundle: Path) -> dict[str, Any]:
    """Return bundle.json after comparing it with the parts beside it: what a bundle says of itself must be one thing.

    Raises:
        ContractError: heads or report belong to other towers, or the report has other metrics; names both.
        IntegrityError: a file cannot be read.
    """
    description, report, heads = (_json(bundle / name) for name in ("bundle.json", "report.json", "heads/heads.json"))
    lineage, told = description.get("lineage") or {}, report.get("lineage") or {}
    towers = digest_of(bundle / "towers")
    for what, found, expected in (
        ("the bundle names other towers than it holds", lineage.get("towers"), towers),
        ("the heads were trained on embeddings of other towers", heads.get("towers"), towers),
        ("the report is about other towers", told.get("towers"), towers),
        ("the report is about another snapshot", told.get("snapshot"), lineage.get("snapshot")),
        ("the report is about other embeddings", told.get("embedded"), lineage.get("embed")),
    ):
        if not found or found != expected:
            raise ContractError(what, value=found or "no digest", limit=expected, next_step="run export of this night")
    if canonical_json(report.get("metrics")) != canonical_json(description.get("metrics")):
        raise ContractError("report and bundle have different metrics", value=bundle, next_step="run export again")
    return description


def kept_metrics(digest: str, night: str, *, proven: bool) -> dict[str, float]:
    """Return the metrics of a bundle of the store after comparing every file with its manifest.

    ``proven`` asks for parts that belong together as well; a champion may be older than that question.

    Raises:
        ContractError: the parts do not belong together.
        IntegrityError: the bundle is not in the store, or not what its digest says.
    """
    folder = settings().work / "bundles" / digest
    if not digest or not folder.is_dir() or not _sound(folder, digest):
        raise IntegrityError(
            "a bundle of the store is missing or not what its digest says",
            value=folder,
            limit=digest,
            next_step=f"bring it back: ecclip release register --night {night}",
        )
    return metrics_of(read_description(folder) if proven else _json(folder / "bundle.json"))


def metrics_of(description: dict[str, Any]) -> dict[str, float]:
    """Return the metrics that a bundle says of itself, by their names in the report."""
    return {name: float(value) for name, value in (description.get("metrics") or {}).items()}


def _sound(folder: Path, digest: str) -> bool:
    try:
        verify_folder(folder)
    except IntegrityError:
        return False
    return digest_of(folder) == digest


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise IntegrityError("a file of the bundle cannot be read", value=path, next_step="run export again") from error
    if not isinstance(value, dict):
        raise IntegrityError("a file of the bundle is not a JSON object", value=path)
    return value


def _neighbour_params(bundle: Path, inputs: dict[str, str]) -> dict[str, str]:
    """Return the parameters of the stages whose outputs, proven by digest, went into the bundle."""
    found: dict[str, str] = {}
    for sibling in sorted(bundle.parent.iterdir()):
        if (sibling / MANIFEST).is_file() and digest_of(sibling) in inputs.values():
            manifest = read_manifest(sibling)
            found |= {} if manifest is None else flat_parameters(manifest.stage, manifest.config)
    return found


def _heads(bundle: Path) -> dict[str, Any]:
    path = bundle / "heads" / "heads.json"
    return _json(path) if path.is_file() else {}


def _label_counts(bundle: Path) -> dict[str, int]:
    return {head["name"]: len(head["labels"]) for head in _heads(bundle).get("heads", [])}
