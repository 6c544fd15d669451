"""Where a night's training starts follows from the nights before it, not from when it is run."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from bundles import write_bundle
from registries import MLFLOW_WARNINGS

from ecclip import registry
from ecclip.core import IntegrityError, digest_of
from ecclip.formats.start import Start, read_start
from ecclip.registry import ReferenceConfig, StartConfig, reference, start

pytestmark = pytest.mark.filterwarnings(*MLFLOW_WARNINGS)


def _snapshot(workspace: Path, night: str) -> Path:
    folder = workspace / "work" / "snapshots" / night
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "statistics.json").write_text(f'"{night}"')
    return folder


def _started(workspace: Path, night: str, cfg: StartConfig | None = None) -> Start:
    output = workspace / "work" / "nights" / night / "start"
    start(cfg=cfg or StartConfig(), snapshot=_snapshot(workspace, night), output=output)
    return read_start(output)


def _promoted(tmp_path: Path, night: str) -> registry.Registered:
    registered = registry.register(write_bundle(tmp_path / night, night, seed=int(night[-2:])), night)
    registry.set_champion(registered.version, "test")
    return registered


def test_the_first_night_starts_from_the_pretrained_towers(workspace: Path) -> None:
    assert _started(workspace, "2026-11-01") == Start()


def test_a_later_night_starts_from_the_champion(workspace: Path, tmp_path: Path) -> None:
    first = _promoted(tmp_path, "2026-11-01")
    started = _started(workspace, "2026-11-02")
    assert (started.bundle, started.version) == (first.digest, first.version)
    assert started.towers is not None
    bundle = workspace / "work" / "bundles" / first.digest
    assert digest_of(started.towers) == digest_of(bundle / "towers")
    shutil.rmtree(bundle)
    assert list(started.towers.iterdir()), "a night that has begun needs the bundle store no more"


def test_the_configuration_can_ask_for_pretrained_towers(workspace: Path, tmp_path: Path) -> None:
    _promoted(tmp_path, "2026-11-01")
    assert _started(workspace, "2026-11-02", StartConfig(mode="pretrained")) == Start()


def test_a_night_filled_in_late_starts_where_it_would_have_started_then(workspace: Path, tmp_path: Path) -> None:
    first = _promoted(tmp_path, "2026-11-01")
    _promoted(tmp_path, "2026-11-02")
    _promoted(tmp_path, "2026-11-04")
    assert _started(workspace, "2026-11-02").version == first.version
    assert _started(workspace, "2026-11-01") == Start()


def test_a_champion_whose_bundle_is_gone_stops_the_night(workspace: Path, tmp_path: Path) -> None:
    first = _promoted(tmp_path, "2026-11-01")
    shutil.rmtree(workspace / "work" / "bundles" / first.digest)
    with pytest.raises(IntegrityError, match="bundle store"):
        _started(workspace, "2026-11-02")
    assert not (workspace / "work" / "nights" / "2026-11-02" / "start").exists()


def test_a_champion_whose_towers_are_damaged_stops_the_night(workspace: Path, tmp_path: Path) -> None:
    first = _promoted(tmp_path, "2026-11-01")
    towers = workspace / "work" / "bundles" / first.digest / "towers" / "towers.safetensors"
    towers.write_bytes(towers.read_bytes()[:-1])
    with pytest.raises(IntegrityError, match=r"towers\.safetensors"):
        _started(workspace, "2026-11-02")


def test_the_pairs_of_a_night_are_judged_by_the_champion_of_the_nights_before(workspace: Path, tmp_path: Path) -> None:
    def judged_by(night: str, **changes: str) -> Start:
        cleaned = workspace / "work" / "nights" / night / "clean"
        cleaned.mkdir(parents=True, exist_ok=True)
        (cleaned / "rows").write_text(night)
        cfg = ReferenceConfig.model_validate(changes)
        reference(cfg=cfg, cleaned=cleaned, output=cleaned.with_name("reference"))
        return read_start(cleaned.with_name("reference"))

    assert judged_by("2026-11-01") == Start()
    first = _promoted(tmp_path, "2026-11-01")
    _promoted(tmp_path, "2026-11-03")
    assert judged_by("2026-11-02").bundle == first.digest
    assert judged_by("2026-11-02", mode="none") == Start()
