"""Photos are embedded at the size that measures best, and a training goes on at the size that it is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from snapshots import write_snapshot
from tiny_training import TRAINER, tiny_towers, tiny_trainer

from ecclip.errors import ConfigError
from ecclip.model import Towers, load_preprocessor, load_towers, save_towers
from ecclip.train import SINGLE_PROCESS, TrainerConfig, choose_photo_size

SCALES = (1.0, 2.0, 3.0)  # 32, 64 and 96 pixels


def probe_of(scores: dict[int, float], towers: Towers) -> Callable[[], dict[str, float]]:
    """Return a probe of which the scores are known by the size that photos have when it is asked."""
    return lambda: {} if not scores else {"a": scores[towers.preprocessor().image_size], "b": 0.0}


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ({32: 0.5, 64: 0.6, 96: 0.7}, 96),
        ({32: 0.5, 64: 0.6, 96: 0.6}, 64),
        ({32: 0.5, 64: 0.508, 96: 0.52}, 96),  # each is held against the best that is smaller
        ({32: 0.5, 64: 0.508, 96: 0.509}, 32),
        ({32: 0.5, 64: 0.4, 96: 0.3}, 32),
        ({}, 32),
    ],
)
def test_a_larger_size_is_taken_where_it_gains_enough(scores: dict[int, float], expected: int) -> None:
    towers = tiny_towers()
    found = choose_photo_size(towers, SCALES, probe_of(scores, towers), SINGLE_PROCESS)
    assert towers.photo_size == expected
    assert set(found) == set(scores)


def test_a_network_of_one_size_and_towers_without_a_choice_keep_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    towers = tiny_towers()
    towers.photo_size = 64
    assert choose_photo_size(towers, (), probe_of({64: 1.0}, towers), SINGLE_PROCESS) == {}
    assert towers.photo_size == 64
    monkeypatch.setattr(towers.image_encoder.tower, "set_input_size", lambda *_: None, raising=False)
    assert choose_photo_size(towers, SCALES, probe_of({64: 1.0}, towers), SINGLE_PROCESS) == {}
    assert towers.photo_size == 64


def test_training_sees_its_own_size_and_the_chosen_one_travels_with_the_weights(tmp_path: Path) -> None:
    snapshot = write_snapshot(tmp_path / "snapshot", 40)
    cfg = replace(TRAINER, epochs=1, weight_interpolation=0.0, photo_scales=SCALES)
    sizes: list[int] = []

    def probe(towers: Towers) -> dict[str, float]:
        sizes.append(towers.preprocessor().image_size)
        return {"a": float(sizes[-1])}

    trainer = tiny_trainer(snapshot, tmp_path / "steps", cfg, probe=probe)
    trainer.towers.photo_size = 64  # as the champion's are, when training goes on
    assert trainer.loader.make(0, trainer.plan[0][1]).pixels.shape[-1] == 32
    progress = trainer.run()
    assert sizes == [32, 64, 96]
    assert ("photos/size", 96.0) in [(name, value) for _, name, value in progress.metrics]
    save_towers(trainer.towers, tmp_path / "towers")
    again = load_towers(tmp_path / "towers")
    assert (again.photo_size, again.cfg.image_size) == (96, 32)
    assert load_preprocessor(tmp_path / "towers").image_size == again.preprocessor().image_size == 96


@pytest.mark.parametrize("scales", [(0.0,), (-1.0, 1.0), (400.0,)])
def test_scales_that_cannot_be_meant_are_refused(scales: tuple[float, ...]) -> None:
    with pytest.raises(ConfigError, match="photo_scales"):
        TrainerConfig(photo_scales=scales)
