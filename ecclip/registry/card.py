"""A version as MLflow's pages show it: description, inputs and outputs, where the bundle lies."""

from __future__ import annotations

from pathlib import Path

from ecclip.core import canonical_json, shown_markdown, write_atomic
from ecclip.formats.bundle import lineage_of
from ecclip.formats.service import INPUTS, OUTPUTS
from ecclip.registry.bundles import BundleFacts

_TYPES = {"binary": "binary", "number": "float"}  # of MLflow; whatever else the service speaks is a string


def describe(facts: BundleFacts, stored: Path) -> str:
    """Return the Markdown description of a version: what it was made from and how well it does."""
    labels = "".join(f"| {shown_markdown(name)} | {count} |\n" for name, count in sorted(facts.labels.items()))
    both = {name: value for name, value in sorted(facts.metrics.items()) if "/both/" in name}
    metrics = "".join(f"| {shown_markdown(name)} | {value:.4f} |\n" for name, value in both.items())
    return (
        f"Bundle of the night **{facts.night}**, lineage id `{lineage_of(facts.digest)}`: "
        f"towers, heads, labels, thresholds, preprocessing and ONNX graphs that are deployed as one.\n\n"
        f"- bundle: `{stored}`\n- snapshot digest: `{facts.snapshot_digest}`\n- git commit: `{facts.git_commit}`\n"
        f"- embedding: {facts.embedding_dim or '?'} numbers, length 1\n\n"
        f"| task | labels |\n|---|---|\n{labels}\n| metric (image and text together) | value |\n|---|---|\n{metrics}"
    )


def write_card(facts: BundleFacts, stored: Path, folder: Path, run_id: str) -> None:
    """Write the small files of the logged model: MLmodel (signature of the service) and a pointer to the bundle."""
    from mlflow.models import Model, ModelSignature
    from mlflow.types import ColSpec, Schema

    signature = ModelSignature(
        inputs=Schema([ColSpec(_TYPES.get(one.content, "string"), one.name, required=False) for one in INPUTS]),
        outputs=Schema([ColSpec(_TYPES.get(one.content, "string"), one.name) for one in OUTPUTS]),
    )
    pointer = {"schema": "ecclip.pointer/1", "digest": facts.digest, "uri": stored.as_uri(), "files": facts.files}
    model = Model(
        run_id=run_id,
        signature=signature,
        flavors={"ecclip": {"bundle_digest": facts.digest, "pointer": "pointer.json"}},
        metadata={"lineage_id": lineage_of(facts.digest), "night": facts.night},
    )
    write_atomic(folder / "MLmodel", model.to_yaml())
    write_atomic(folder / "pointer.json", canonical_json(pointer))
