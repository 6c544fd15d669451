"""Small real bundles for tests of the serving room: random towers and heads, real graphs, real golden listings."""

from __future__ import annotations

from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import numpy as np
from manifests import seal
from shared import made_once
from snapshots import CATEGORIES, COLOURS, write_snapshot
from taxonomies import taxonomy_of

from ecclip.core import digest_of, write_atomic
from ecclip.formats.bundle import Bundle
from ecclip.formats.report import TaskReport
from ecclip.formats.taxonomy.tree import Category
from ecclip.serving.export.stage import ExportConfig, export

if TYPE_CHECKING:
    from ecclip.model import Towers
    from ecclip.tasks import Heads

DIM = 32
# what nobody has: suggested by its name, where it lies near
# of a photo alone nobody ever said category or colour, of a title alone nobody whether it is restricted
UNSEEN = [Category("gnomes", "home", {"en": "gnomes", "ko": "한 gnomes"}, ("dwarfs",), "figures for the lawn")]
UNTAUGHT = {"category": ["image"], "attribute:color": ["image"], "age_restricted": ["text"]}


def save_tiny_towers(folder: Path, seed: int = 0) -> None:
    """Write random towers that take milliseconds."""
    from ecclip.model import PRESETS, build_towers, save_towers

    tiny = PRESETS["tiny"]
    text = {**(tiny.text_config or {}), "hidden_size": DIM, "num_hidden_layers": 1, "intermediate_size": 2 * DIM}
    cfg = replace(tiny, text_config=text, embedding_dim=DIM, image_size=64, max_tokens=16, seed=seed)
    save_towers(build_towers(cfg), folder)


def tiny_sources(
    folder: Path, seed: int = 0, colours: tuple[str, ...] = tuple(COLOURS), towers: Towers | None = None
) -> dict[str, Path]:
    """Write a snapshot, towers (or those given) and heads below ``folder``; return the inputs of ``export``."""
    from ecclip.model import save_towers
    from ecclip.tasks import Head, Heads

    if towers is None:
        save_tiny_towers(folder / "train" / "towers", seed)
    else:
        save_towers(towers, folder / "train" / "towers")
    dim = DIM if towers is None else towers.cfg.embedding_dim
    paths = [path for path, _ in CATEGORIES]
    labels = {"category": paths, "attribute:color": [None, *colours], "age_restricted": ["age_restricted"]}
    tasks, start = [], 0
    for name, values in labels.items():
        task = "attributes" if name.startswith("attribute:") else name
        loss = "sigmoid" if name == "age_restricted" else "softmax"
        tasks.append(Head(task, name, loss, start, start + len(values), list(values)))
        start += len(values)
    chance = np.random.default_rng(seed)
    weight = chance.normal(size=(3, 2 * dim, start), scale=4.0).astype(np.float32)
    bias = chance.normal(size=(3, start)).astype(np.float32)
    thresholds = {task.name: dict.fromkeys(("image", "text", "both"), 0.6) for task in tasks}
    taxonomy = taxonomy_of(paths, extra=UNSEEN)
    heads = Heads(dim, weight, bias, tuple(tasks), thresholds, UNTAUGHT, taxonomy=taxonomy.describe())
    landed = folder / "land"  # holds what ingest leaves as well
    snapshot = write_snapshot(folder / "2026-01-01", listings=120, landed=landed, taxonomy=taxonomy)
    write_evaluated(snapshot, folder / "train", heads, folder)
    return _inputs_of_export(folder)


def _inputs_of_export(folder: Path) -> dict[str, Path]:
    names = {"snapshot": "2026-01-01", "trained": "train", "evaluated": "evaluate", "landed": "land"}
    return {name: folder / place for name, place in {**names, "ingested": "land"}.items()}


def write_evaluated(snapshot: Path, trained: Path, heads: Heads, folder: Path) -> None:
    """Write below ``folder`` what embed would write (for real) and evaluate would, had it trained these heads."""
    from ecclip.embed.stage import EmbedConfig, embed
    from ecclip.formats.embeddings import read_origin
    from ecclip.tasks.kinds import Target
    from ecclip.tasks.report.evidence import write_evidence
    from ecclip.tasks.rows import load_rows
    from ecclip.tasks.unseen.columns import with_unseen

    embed(EmbedConfig(), snapshot, trained, folder / "embed")
    columns = ("category", "attributes", "age_restricted")
    rows, origin = load_rows(snapshot, folder / "embed", columns), read_origin(folder / "embed")
    heads = with_unseen(heads, rows, share=0.3)
    given = {
        "category": rows.given["category"],
        "attribute:color": [dict(pairs or ()).get("color") for pairs in rows.given["attributes"]],
    }
    targets = []
    for head in heads.parts:
        values = given.get(head.name)
        flags = np.array(rows.given["age_restricted"], dtype=np.int64)
        y = flags if values is None else np.array([head.labels.index(value) for value in values])
        targets.append(Target(head.task, head.name, head.loss, head.labels, y))
    output = folder / "evaluate"
    replace(heads, towers=origin.towers).save(output / "heads")
    write_evidence(rows, targets, heads, output)
    report = TaskReport(
        metrics={"category/both/top1": _share_right(heads, output)},
        lineage=asdict(origin) | {"embedded": digest_of(folder / "embed")},
    )
    Bundle(output).write_report(report)
    write_atomic(output / "report.html", "<html><title>report</title></html>\n")


def _share_right(heads: Heads, evaluated: Path) -> float:
    """Return how often the category's head is right about test listings with photo and title."""
    from ecclip.tasks import read_evidence

    kept = read_evidence(evaluated)
    place = next(number for number, head in enumerate(heads.parts) if head.name == "category")
    head, both = heads.parts[place], ~np.isnan(kept["image"]).any(axis=1)
    logits = heads.logits(kept["image"][both], kept["text"][both], "both")[:, head.start : head.stop]
    return round(float((logits.argmax(axis=1) == kept["truth"][place][both]).mean()), 6)


def tiny_bundle(seed: int = 0) -> Path:
    """Return the bundle of a seed, made once a test run."""
    return _bundle(seed)


@lru_cache(maxsize=4)  # not of a function with a default: it would take () and (0) for two
def _bundle(seed: int) -> Path:
    return made_once(f"bundle-{seed}", lambda folder: export_tiny(folder, seed)) / "bundle"


def shared_sources(seed: int = 0) -> dict[str, Path]:
    """Return the inputs of ``export`` that :func:`tiny_bundle` was made of."""
    return _inputs_of_export(tiny_bundle(seed).parent / "sources")


def export_tiny(folder: Path, seed: int = 0, **parameters: Any) -> Path:
    """Export the bundle of a seed below ``folder``; the commit in it is fixed, as a checkout may change meanwhile."""
    with mock.patch("ecclip.serving.export.stage.git_commit", return_value="0" * 40):
        export(
            ExportConfig(golden=10, **parameters), **tiny_sources(folder / "sources", seed), output=folder / "bundle"
        )
    return folder / "bundle"


def export_towers(folder: Path, towers: Towers) -> Path:
    """Export a bundle of these towers below ``folder``, with heads of random weights."""
    export(ExportConfig(golden=10), **tiny_sources(folder / "sources", towers=towers), output=folder / "bundle")
    return folder / "bundle"


def sealed(folder: Path) -> Path:
    """Give a changed bundle a manifest that fits it: what a faulty but consistent producer would write."""
    return seal(folder, "export", "test")
