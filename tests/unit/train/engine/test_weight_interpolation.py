"""Trained networks are mixed with what they started from, by the share that is asked for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from snapshots import write_snapshot
from tiny_training import TRAINER, tiny_towers, tiny_trainer


def test_networks_end_between_start_and_training_and_projections_where_training_left_them(tmp_path: Path) -> None:
    snapshot, start = write_snapshot(tmp_path / "snapshot", 40), tiny_towers().state_dict()
    ends = []
    for share in (0.0, 0.25):
        trainer = tiny_trainer(snapshot, tmp_path / f"{share}", replace(TRAINER, epochs=1, weight_interpolation=share))
        trainer.run()
        ends.append(trainer.towers.state_dict())
    plain, mixed = ends
    moved = 0
    for name, trained in plain.items():
        expected = (
            torch.lerp(trained, start[name], 0.25) if ".tower." in name and trained.is_floating_point() else trained
        )
        torch.testing.assert_close(mixed[name], expected, msg=name)
        moved += not torch.equal(trained, mixed[name])
    assert moved > 10
