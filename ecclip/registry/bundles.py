"""What the registry reads from a bundle, and the store that keeps bundles by their digest."""

from __future__ import annotations

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
    has_digest,
    locked,
    read_manifest,
    recover_folder,
    replace_folder,
    settings,
    verify_folder,
)
from ecclip.formats.bundle import Bundle
from ecclip.registry.tracking.names import flat_parameters
from ecclip.registry.versions import ModelRef


@dataclass(frozen=True, kw_only=True)
class BundleFacts:
    """What a registered version records about its bundle."""

    digest: str
    night: str
    snapshot_digest: str
    git_commit: str
    metrics: dict[str, float]
    rows: dict[str, Any]
    cells: dict[str, int]
    params: dict[str, str]
    labels: dict[str, int]
    embedding_dim: int | None
    files: dict[str, int]


def keep_bundle(bundle: Path) -> Path:
    """Copy a bundle to ``work/bundles/<digest>`` and return that folder; an intact copy is kept.

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
            raise IntegrityError(
                "the bundle changed while it was copied",
                value=bundle,
                limit=digest,
                next_step="run it again when nothing writes to the bundle",
            )
        replace_folder(temporary, target)
    return target


def read_facts(bundle: Path, night: str) -> BundleFacts:
    """Return the facts of a bundle; values of missing optional parts stay empty.

    Raises:
        ContractError: the parts of the bundle do not belong together, or one has a schema that is not known.
        IntegrityError: what the bundle, its report or its heads say of themselves cannot be read.
    """
    manifest = verify_folder(bundle)
    parts = proven_bundle(bundle)
    lineage, heads, report = parts.lineage(), parts.described_heads(), parts.report()
    return BundleFacts(
        digest=digest_of(bundle),
        night=night,
        snapshot_digest=manifest.inputs.get("snapshot") or lineage.get("snapshot", ""),
        git_commit=lineage.get("git_commit", ""),
        metrics=parts.metrics(),
        rows=report.rows,
        cells=report.cells,
        params=flat_parameters(manifest.stage, manifest.config) | _neighbour_params(bundle, manifest.inputs),
        labels={head["name"]: len(head["labels"]) for head in heads.get("heads", [])},
        embedding_dim=heads.get("dim"),
        files={name: entry.bytes for name, entry in manifest.files.items()},
    )


def proven_bundle(folder: Path) -> Bundle:
    """Return a bundle after comparing its parts: what it says of itself must be one thing.

    Raises:
        ContractError: heads or report belong to other towers, or the report has other metrics; names both.
        IntegrityError: a file cannot be read.
    """
    bundle = Bundle(folder)
    description, report, heads = bundle.description(), bundle.report(), bundle.described_heads()
    lineage, claimed = bundle.lineage(), report.lineage
    towers = digest_of(bundle.towers)
    for what, found, expected in (
        ("the bundle names other towers than it holds", lineage.get("towers"), towers),
        ("the heads were trained on embeddings of other towers", heads.get("towers"), towers),
        ("the report is about other towers", claimed.get("towers"), towers),
        ("the report is about another snapshot", claimed.get("snapshot"), lineage.get("snapshot")),
        ("the report is about other embeddings", claimed.get("embedded"), lineage.get("embed")),
    ):
        if not found or found != expected:
            raise ContractError(what, value=found or "no digest", limit=expected, next_step="run export of this night")
    if canonical_json(report.metrics) != canonical_json(description.get("metrics")):
        raise ContractError("report and bundle have different metrics", value=folder, next_step="run export again")
    return bundle


def stored_bundle(reference: ModelRef, *, whole: bool = False) -> Path:
    """Return the folder of a version's bundle in the bundle store; ``whole`` compares every file with its manifest.

    Raises:
        IntegrityError: it is missing, or not what its digest says.
    """
    digest = reference.digest
    folder = settings().work / "bundles" / digest
    if not (_sound if whole else has_digest)(folder, digest):
        raise IntegrityError(
            f"the bundle of version {reference.version} in the bundle store is missing or does not match its digest",
            value=folder if digest else "the version names no bundle",
            limit=digest or None,
            next_step=f"restore it: ecclip release register --night {reference.night or 'NIGHT'}",
        )
    return folder


def kept_metrics(reference: ModelRef, *, proven: bool) -> dict[str, float]:
    """Return the metrics of a version's bundle after comparing every file with its manifest.

    ``proven`` also requires consistent parts; a champion may predate that check.

    Raises:
        ContractError: the parts do not belong together.
        IntegrityError: the bundle is not in the store, or not what its digest says.
    """
    folder = stored_bundle(reference, whole=True)
    return (proven_bundle(folder) if proven else Bundle(folder)).metrics()


def _sound(folder: Path, digest: str) -> bool:
    try:
        verify_folder(folder)
    except IntegrityError:
        return False
    return digest_of(folder) == digest


def _neighbour_params(bundle: Path, inputs: dict[str, str]) -> dict[str, str]:
    """Return the parameters of the stages whose outputs, proven by digest, went into the bundle."""
    found: dict[str, str] = {}
    for sibling in sorted(bundle.parent.iterdir()):
        if (sibling / MANIFEST).is_file() and digest_of(sibling) in inputs.values():
            manifest = read_manifest(sibling)
            found |= {} if manifest is None else flat_parameters(manifest.stage, manifest.config)
    return found
