"""Switches of execution change speed and memory; what is computed stays."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
import torch
from tiny_training import TRAINER, random_batch, tiny_towers

from ecclip.model import Towers
from ecclip.train import accumulate_gradients, deterministic, tower_executor
from ecclip.train.engine.execution import prepare_execution

SWITCHES = {"channels_last": False, "fused_attention": True, "gradient_checkpointing": True}


def _gradients(towers: Towers, *, random: bool = False, **arguments: object) -> dict[str, torch.Tensor]:
    towers.train(random)
    accumulate_gradients(towers, random_batch(), micro_batch_size=5, labels="soft", seed=(0, 0), **arguments)  # type: ignore[arg-type]
    return {name: parameter.grad for name, parameter in towers.named_parameters() if parameter.grad is not None}


def _one_draws() -> Towers:
    return tiny_towers(vision_dropout=0.0, drop_path=0.0)


@pytest.mark.parametrize("switch", list(SWITCHES))
def test_gradients_stay_with_every_switch(switch: str) -> None:
    plain, switched = tiny_towers().double(), tiny_towers().double()
    prepare_execution(switched, replace(TRAINER, **{switch: SWITCHES[switch]}))
    expected, found = _gradients(plain), _gradients(switched)
    assert expected.keys() == found.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-9, atol=1e-10, msg=name)


def test_layers_are_run_again_in_the_backward_pass_when_that_is_wanted() -> None:
    def runs(switched: bool) -> int:
        towers, count = tiny_towers(), []
        prepare_execution(towers, replace(TRAINER, gradient_checkpointing=switched))
        layers = towers.text_encoder.tower.encoder.layer  # type: ignore[union-attr]
        layers[0].attention.register_forward_hook(lambda *_: count.append(1))  # type: ignore[union-attr]
        towers.train(True)
        accumulate_gradients(towers, random_batch(), micro_batch_size=14, labels="soft", seed=(0, 0))
        return len(count)

    assert (runs(False), runs(True)) == (1, 2)


@pytest.mark.slow
def test_compiled_towers_give_the_gradients_of_plain_ones_with_dropout() -> None:
    plain, compiled = _one_draws(), _one_draws()
    prepare_execution(compiled, replace(TRAINER, compile=True))
    expected, found = _gradients(plain, random=True), _gradients(compiled, random=True)
    assert expected.keys() == found.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-3, atol=1e-5, msg=name)


def test_two_lanes_give_the_bits_of_one_with_dropout_in_one_tower() -> None:
    cpu = torch.device("cpu")
    with deterministic(2, cpu), tower_executor(_one_draws(), 2) as executor:
        meeting = threading.Barrier(2)
        executor(meeting.wait, meeting.wait)  # each waits for the other: they run at the same time
        first, second = (
            _gradients(tiny_towers(vision_dropout=0.0, drop_path=0.0), random=True, executor=executor) for _ in "ab"
        )
    with deterministic(1, cpu):
        one = _gradients(_one_draws(), random=True)
    for name, gradient in one.items():
        assert torch.equal(first[name], gradient), name
        assert torch.equal(first[name], second[name]), name


def test_towers_that_both_draw_take_turns() -> None:
    with tower_executor(tiny_towers(drop_path=0.1, vision_dropout=0.0), 2) as executor:
        assert executor(threading.get_ident, threading.get_ident) == (threading.get_ident(),) * 2


def test_an_error_of_one_tower_waits_for_the_other_and_is_raised() -> None:
    finished = []

    def fails() -> None:
        raise ValueError("too large")

    with (
        tower_executor(tiny_towers(vision_dropout=0.0, drop_path=0.0), 2) as executor,
        pytest.raises(ValueError, match="too large"),
    ):
        executor(fails, lambda: finished.append(1))
    assert finished == [1]
