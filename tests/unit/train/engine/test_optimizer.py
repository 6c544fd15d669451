"""Rates, freezing, and the optimiser's state as named tensors."""

from __future__ import annotations

import math

import pytest
import torch
from tiny_training import random_batch, tiny_towers

from ecclip.model import Towers, TowersConfig, build_towers
from ecclip.train import Optimizer, OptimizerConfig, TrainError, accumulate_gradients, rate_factor

LOWER_LAYERS = (
    *(f"image_encoder.tower.{name}" for name in ("conv_stem.", "bn1.", "blocks.0.", "blocks.1.")),
    "text_encoder.tower.embeddings.",
    *(f"text_encoder.tower.encoder.layer.{number}." for number in range(3)),
)
CFG = OptimizerConfig(tower_learning_rate=1e-3, projection_learning_rate=1e-2, freeze=())


def test_rates_rise_then_fall_to_nothing() -> None:
    factors = [rate_factor(step, 100, 0.1) for step in range(101)]
    assert factors[:10] == sorted(factors[:10])
    assert factors[10] == max(factors) == 1.0
    assert factors[10:] == sorted(factors[10:], reverse=True)
    assert factors[100] == pytest.approx(0.0)
    assert rate_factor(0, 1, 0.1) == 1.0


def _train(towers: Towers, optimizer: Optimizer, steps: range) -> None:
    for step in steps:
        accumulate_gradients(towers, random_batch(seed=step), micro_batch_size=14, labels="soft", seed=(0, step))
        optimizer.clip()
        optimizer.step(step)
        optimizer.clear()


def test_the_state_taken_over_continues_with_equal_bits() -> None:
    whole, first = tiny_towers(), tiny_towers()
    _train(whole, Optimizer(whole, CFG, 6), range(6))
    optimizer = Optimizer(first, CFG, 6)
    _train(first, optimizer, range(3))
    second = tiny_towers(seed=9)
    second.load_state_dict(first.state_dict())
    again = Optimizer(second, CFG, 6)
    again.load({name: tensor.contiguous() for name, tensor in optimizer.state().items()})
    _train(second, again, range(3, 6))
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), second.parameters(), strict=True))


def test_frozen_prefixes_do_not_move_and_all_else_does() -> None:
    towers, start = tiny_towers(), dict(tiny_towers().named_parameters())
    freeze = ("text_encoder.tower.embeddings", "image_encoder.tower.conv_stem")
    _train(towers, Optimizer(towers, OptimizerConfig(freeze=freeze), 4), range(2))
    moved = {name for name, value in towers.named_parameters() if not torch.equal(value, start[name])}
    assert moved == {name for name in start if not name.startswith(freeze)}


@pytest.mark.parametrize("prefixes", [("no.such.layer",), ("image_encoder", "text_encoder", "logit_scale")])
def test_freezing_nothing_or_everything_is_an_error(prefixes: tuple[str, ...]) -> None:
    with pytest.raises(TrainError, match="freeze"):
        Optimizer(tiny_towers(), OptimizerConfig(freeze=prefixes), 4)


def test_projections_and_vectors_have_rates_and_decay_of_their_own() -> None:
    optimizer = Optimizer(tiny_towers(), CFG, 10)
    groups = optimizer._adam.param_groups
    assert {(group["rate"], group["weight_decay"]) for group in groups} == {
        (1e-3, 0.05),
        (1e-3, 0.0),
        (1e-2, 0.05),
        (1e-2, 0.0),
    }
    assert sum(len(group["params"]) for group in groups) == len(optimizer.parameters)


def test_each_layer_down_a_tower_learns_more_slowly() -> None:
    towers = tiny_towers()
    cfg = OptimizerConfig(tower_learning_rate=1.0, projection_learning_rate=8.0, freeze=(), layer_decay=0.5)
    groups = Optimizer(towers, cfg, 10)._adam.param_groups
    rates = {id(parameter): group["rate"] for group in groups for parameter in group["params"]}
    named = {name: rates[id(parameter)] for name, parameter in towers.named_parameters()}
    assert {rate for name, rate in named.items() if ".tower." not in name} == {8.0}
    depth = {name: -math.log2(rate) for name, rate in named.items() if ".tower." in name}
    embeddings, first, last = (
        depth[f"text_encoder.tower.{name}"]
        for name in (
            "embeddings.word_embeddings.weight",
            "encoder.layer.0.output.dense.weight",
            "encoder.layer.1.output.dense.weight",
        )
    )
    assert (embeddings, first, last) == (2, 1, 0)
    stem, head = (depth[f"image_encoder.tower.{name}.weight"] for name in ("conv_stem", "conv_head"))
    blocks = {layer for name, layer in depth.items() if ".blocks." in name}
    assert stem > max(blocks)
    assert min(blocks) >= head
    for encoder in ("image_encoder", "text_encoder"):
        found = {layer for name, layer in depth.items() if name.startswith(encoder)}
        assert found == set(range(len(found))), "whole layers from the top down, none left out"


@pytest.mark.parametrize(("rule", "factor"), [("root", 0.5), ("linear", 0.25), ("none", 1.0)])
def test_rates_follow_the_size_of_the_batch(rule: str, factor: float) -> None:
    towers = tiny_towers()
    optimizer = Optimizer(towers, OptimizerConfig(warmup_share=0, freeze=(), learning_rate_scaling=rule), 10)  # type: ignore[arg-type]
    accumulate_gradients(towers, random_batch(), micro_batch_size=14, labels="soft", seed=(0, 0))
    optimizer.step(0, batch_share=0.25)
    assert {group["lr"] / group["rate"] for group in optimizer._adam.param_groups} == {factor}


def test_the_small_preset_freezes_its_lower_layers_and_other_towers_nothing() -> None:
    small = build_towers(TowersConfig())
    trained = Optimizer(small, OptimizerConfig(), 4).parameters
    assert trained.keys() == {name for name, _ in small.named_parameters() if not name.startswith(LOWER_LAYERS)}
    tiny = tiny_towers()
    assert Optimizer(tiny, OptimizerConfig(), 4).parameters.keys() == dict(tiny.named_parameters()).keys()
