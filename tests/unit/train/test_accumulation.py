"""The exact batch from streams: every gradient equals that of the full batch, the temperature's too."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny_training import random_batch, tiny_towers
from torch import Tensor
from torch.nn import functional

from ecclip.model import Towers
from ecclip.train import Batch, Labels, accumulate_gradients, contrastive_gradients

SEED = (5, 0, 3)


def _dense_loss(image: Tensor, text: Tensor, logit_scale: Tensor, groups: Tensor, labels: Labels) -> Tensor:
    """The loss as a textbook writes it: one matrix, autograd."""
    logits = logit_scale.exp() * image @ text.T
    same, identity = groups[:, None] == groups[None, :], torch.eye(len(groups), dtype=torch.bool)
    if labels == "mask":
        logits = logits.masked_fill(same & ~identity, -torch.inf)
    targets = (same if labels == "soft" else identity).to(logits.dtype)
    targets = targets / targets.sum(dim=1, keepdim=True)
    return (_cross_entropy(logits, targets) + _cross_entropy(logits.T, targets)) / 2


def _cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    likelihood = torch.where(targets > 0, logits.log_softmax(dim=1), 0.0)
    return -(targets * likelihood).sum(dim=1).mean()


@pytest.mark.parametrize("labels", ["soft", "mask", "hard"])
@pytest.mark.parametrize("block_rows", [1, 5, 64])
def test_blocked_loss_equals_the_dense_one(labels: Labels, block_rows: int) -> None:
    chance = torch.Generator().manual_seed(0)
    image, text = (functional.normalize(torch.randn(13, 6, generator=chance, dtype=torch.float64)) for _ in range(2))
    scale = torch.tensor(2.0, dtype=torch.float64)
    groups = torch.tensor([0, 0, 1, 2, 2, 2, 3, 4, 5, 6, 7, 8, 8])
    for tensor in (image, text, scale):
        tensor.requires_grad_(True)
    expected = _dense_loss(image, text, scale, groups, labels)
    expected.backward()
    found = contrastive_gradients(image, text, scale, groups, labels, block_rows)
    torch.testing.assert_close(found.loss, expected.detach(), atol=1e-12, rtol=0)
    for gradient, tensor in ((found.image, image), (found.text, text), (found.logit_scale, scale)):
        torch.testing.assert_close(gradient, tensor.grad, atol=1e-12, rtol=0)


def _gradients(towers: Towers) -> dict[str, Tensor]:
    return {name: parameter.grad.clone() for name, parameter in towers.named_parameters() if parameter.grad is not None}


def _reference(towers: Towers, batch: Batch, stream_size: int, labels: Labels) -> tuple[Tensor, dict[str, Tensor]]:
    """All streams in one graph, drawing the dropout that the engine draws; one dense loss; one backward."""
    towers.zero_grad()
    parts = []
    for number, start in enumerate(range(0, len(batch), stream_size)):
        torch.manual_seed(int(np.random.SeedSequence((*SEED, number)).generate_state(1, np.uint64)[0] >> 1))
        rows = slice(start, start + stream_size)
        parts.append(towers(batch.pixels[rows], batch.ids[rows], batch.mask[rows]))
    image, text = (torch.cat(side) for side in zip(*parts, strict=True))
    loss = _dense_loss(image, text, towers.logit_scale, batch.groups, labels)
    loss.backward()
    return loss.detach(), _gradients(towers)


@pytest.mark.fault(15)
@pytest.mark.parametrize("labels", ["soft", "hard"])
@pytest.mark.parametrize("streams", [1, 2, 3, 7])
def test_streams_give_the_gradients_of_the_full_batch_with_dropout(streams: int, labels: Labels) -> None:
    towers, batch = tiny_towers().double(), random_batch(13)
    towers.train(True)
    stream_size = -(-len(batch) // streams)
    assert -(-len(batch) // stream_size) == streams
    assert streams == 1 or len(batch) % stream_size != 0, "the last stream is to be uneven"
    expected_loss, expected = _reference(towers, batch, stream_size, labels)
    towers.zero_grad()
    loss = accumulate_gradients(towers, batch, stream_size=stream_size, labels=labels, seed=SEED)
    found = _gradients(towers)
    assert set(found) == set(expected) == {name for name, _ in towers.named_parameters()}
    torch.testing.assert_close(loss, expected_loss, atol=1e-10, rtol=0)
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, atol=1e-10, rtol=0, msg=name)
    assert expected["logit_scale"].abs() > 1e-6


@pytest.mark.fault(15)
@pytest.mark.parametrize("stream_size", [15, 8, 6, 4, 1])
def test_without_dropout_the_gradients_do_not_depend_on_the_streams(stream_size: int) -> None:
    towers, batch = tiny_towers().double(), random_batch(15)
    _, expected = _reference(towers, batch, 15, "soft")
    towers.zero_grad()
    accumulate_gradients(towers, batch, stream_size=stream_size, labels="soft", seed=SEED)
    for name, gradient in _gradients(towers).items():
        torch.testing.assert_close(gradient, expected[name], atol=1e-10, rtol=0, msg=name)


def test_dropout_differs_between_steps_and_leaves_the_global_generator_alone() -> None:
    towers, batch = tiny_towers(), random_batch()
    towers.train(True)
    state = torch.get_rng_state()
    losses = [accumulate_gradients(towers, batch, stream_size=5, labels="soft", seed=(0, step)) for step in (0, 0, 1)]
    assert torch.equal(losses[0], losses[1])
    assert not torch.equal(losses[0], losses[2])
    assert torch.equal(torch.get_rng_state(), state)


def test_a_frozen_tower_gets_no_gradient() -> None:
    towers, batch = tiny_towers(), random_batch()
    towers.image_encoder.requires_grad_(False)
    accumulate_gradients(towers, batch, stream_size=5, labels="soft", seed=SEED)
    assert all(parameter.grad is None for parameter in towers.image_encoder.parameters())
    assert all(parameter.grad is not None for parameter in towers.text_encoder.parameters())


def test_reduced_precision_keeps_the_loss_in_float32() -> None:
    towers, batch = tiny_towers(), random_batch()
    exact = accumulate_gradients(towers, batch, stream_size=5, labels="soft", seed=SEED)
    reduced = accumulate_gradients(towers, batch, stream_size=5, labels="soft", seed=SEED, precision="bfloat16")
    assert reduced.dtype == torch.float32
    torch.testing.assert_close(reduced, exact, atol=0.1, rtol=0)


@pytest.mark.fault(13)
@pytest.mark.parametrize("labels", ["soft", "mask", "hard"])
def test_a_batch_of_one_product_and_a_constant_batch_have_a_finite_loss(labels: Labels) -> None:
    towers = tiny_towers()
    batch = random_batch(6, groups=[0] * 6)
    constant = Batch(
        *(tensor[:1].expand(6, *tensor.shape[1:]) for tensor in (batch.pixels, batch.ids, batch.mask)), batch.groups
    )
    for hostile in (batch, constant):
        assert accumulate_gradients(towers, hostile, stream_size=4, labels=labels, seed=SEED).isfinite()
        assert all(gradient.isfinite().all() for gradient in _gradients(towers).values())
