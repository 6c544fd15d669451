"""Versions in a registry that a gate compares, by two metrics of the category."""

from __future__ import annotations

from pathlib import Path

from bundles import write_bundle

from ecclip import registry
from ecclip.registry import GateConfig, MetricGate

TOP1, ECE = "category/both/top1", "category/both/ece"
CFG = GateConfig(
    metrics={TOP1: MetricGate(floor=0.5, allowed_drop=0.02), ECE: MetricGate(floor=0.1, higher_is_better=False)}
)


def register_version(folder: Path, night: str, rows: dict[str, int] | None = None, /, **metrics: float) -> str:
    named = {f"category/both/{name}": value for name, value in metrics.items()}
    place = folder / f"{night}-{len(list(folder.iterdir()))}"
    return registry.register(write_bundle(place, night, named, sum(map(ord, night)), rows), night).version


def register_champion(folder: Path, **metrics: float) -> str:
    version = register_version(folder, "2026-11-01", **metrics)
    return registry.set_champion(version, "test").version
