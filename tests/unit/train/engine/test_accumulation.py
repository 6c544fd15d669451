"""Exact gradients from micro-batches: all equal the full batch's, the temperature's and the bias' too."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from dense_losses import dense_loss
from tiny_training import random_batch, tiny_towers
from torch import Tensor
from torch.nn import functional

from ecclip.model import Towers
from ecclip.train import (
    Batch,
    Labels,
    Loss,
    Precision,
    accumulate_gradients,
    contrastive_gradients,
    sigmoid_gradients,
)
from ecclip.train.engine.budget import Budget

SEED = (5, 0, 3)


@pytest.mark.parametrize("certain", [True, False])
@pytest.mark.parametrize("labels", list(Labels))
@pytest.mark.parametrize("loss", ["softmax", "sigmoid"])
@pytest.mark.parametrize("block_rows", [1, 5, 64])
def test_blocked_loss_equals_the_dense_one(loss: Loss, labels: Labels, block_rows: int, certain: bool) -> None:
    chance = torch.Generator().manual_seed(0)
    image, text = (functional.normalize(torch.randn(13, 6, generator=chance, dtype=torch.float64)) for _ in range(2))
    scale, bias = torch.tensor(2.0, dtype=torch.float64), torch.tensor(-3.0, dtype=torch.float64)
    groups = torch.tensor([0, 0, 1, 2, 2, 2, 3, 4, 5, 6, 7, 8, 8])
    for tensor in (image, text, scale, bias):
        tensor.requires_grad_(True)
    certainty = None if certain else torch.rand(13, generator=chance, dtype=torch.float64)
    expected = dense_loss(image, text, scale, bias, groups, loss, labels, certainty)
    expected.backward()
    if loss == "softmax":
        found = contrastive_gradients(image, text, scale, groups, labels, block_rows, certainty=certainty)
    else:
        found = sigmoid_gradients(image, text, scale, bias, groups, labels, block_rows, certainty=certainty)
    torch.testing.assert_close(found.loss, expected.detach(), atol=1e-12, rtol=0)
    pairs = [(found.image, image), (found.text, text), (found.logit_scale, scale)]
    if found.logit_bias is not None:
        pairs.append((found.logit_bias, bias))
    assert (found.logit_bias is not None) == (loss == "sigmoid")
    for gradient, tensor in pairs:
        torch.testing.assert_close(gradient, tensor.grad, atol=1e-12, rtol=0)


def test_all_pairs_of_a_group_are_positives_of_the_sigmoid_loss_with_soft_labels() -> None:
    image = text = functional.normalize(torch.ones(2, 4, dtype=torch.float64))
    scale, bias = torch.tensor(0.0, dtype=torch.float64), torch.tensor(2.0, dtype=torch.float64)
    positive, negative = (functional.softplus(torch.tensor(z, dtype=torch.float64)) for z in (-3.0, 3.0))
    expected = {"soft": 4 * positive / 2, "mask": 2 * positive / 2, "hard": (2 * positive + 2 * negative) / 2}
    for labels, value in expected.items():
        found = sigmoid_gradients(image, text, scale, bias, torch.tensor([7, 7]), labels)  # type: ignore[arg-type]
        torch.testing.assert_close(found.loss, value, atol=1e-12, rtol=0)


def test_within_a_modality_every_listing_of_a_group_is_an_anchor_and_the_others_its_positives() -> None:
    chance = torch.Generator().manual_seed(1)
    image, text = (functional.normalize(torch.randn(5, 4, generator=chance, dtype=torch.float64)) for _ in range(2))
    scale, groups = torch.tensor(1.5, dtype=torch.float64), torch.tensor([4, 9, 4, 4, 2])
    found = contrastive_gradients(image, text, scale, groups, Labels.SOFT_WITHIN)
    across = contrastive_gradients(image, text, scale, groups, Labels.SOFT)
    expected = torch.zeros((), dtype=torch.float64)
    for embeddings in (image, text):  # equation 2 of Khosla et al. 2020, as it stands there
        for anchor in (0, 2, 3):
            logits = scale.exp() * embeddings @ embeddings[anchor]
            below = sum(logits[other].exp() for other in range(5) if other != anchor)
            terms = [torch.log(logits[positive].exp() / below) for positive in (0, 2, 3) if positive != anchor]
            expected = expected - sum(terms) / len(terms) / 5 / 2
    torch.testing.assert_close(found.loss - across.loss, expected, atol=1e-12, rtol=0)


def test_a_group_that_the_catalog_is_not_sure_of_lies_between_soft_and_mask() -> None:
    chance = torch.Generator().manual_seed(2)
    image, text = (functional.normalize(torch.randn(6, 4, generator=chance, dtype=torch.float64)) for _ in range(2))
    scale, groups = torch.tensor(1.0, dtype=torch.float64), torch.tensor([0, 0, 1, 2, 3, 3])

    def loss(labels: Labels, certainty: float | None = None) -> float:
        sure = None if certainty is None else torch.full((6,), certainty, dtype=torch.float64)
        return float(contrastive_gradients(image, text, scale, groups, labels, certainty=sure).loss)

    assert loss(Labels.SOFT, 1.0) == pytest.approx(loss(Labels.SOFT), abs=1e-12)
    assert loss(Labels.SOFT, 0.0) == pytest.approx(loss(Labels.MASK), abs=1e-12)
    assert loss(Labels.SOFT_WITHIN, 0.0) == pytest.approx(loss(Labels.MASK), abs=1e-12)
    between = sorted([loss(Labels.SOFT), loss(Labels.MASK)])
    assert between[0] < loss(Labels.SOFT, 0.5) < between[1]


def _gradients(towers: Towers) -> dict[str, Tensor]:
    return {name: parameter.grad.clone() for name, parameter in towers.named_parameters() if parameter.grad is not None}


def _seed(rows: slice, tower: int) -> None:
    seed = np.random.SeedSequence((*SEED, rows.start, tower))
    torch.manual_seed(int(seed.generate_state(1, np.uint64)[0] >> 1))


def _reference(
    towers: Towers, batch: Batch, micro_batches: list[slice], labels: Labels, loss: Loss = "softmax"
) -> tuple[Tensor, dict[str, Tensor]]:
    """All micro-batches in one graph, drawing the dropout that the engine draws; one dense loss; one backward."""
    towers.zero_grad()
    parts = []
    for rows in micro_batches:
        _seed(rows, tower=0)
        image = towers.encode_image(batch.pixels[rows])
        _seed(rows, tower=1)
        width = int(batch.mask[rows].sum(dim=1).max())
        parts.append((image, towers.encode_text(batch.ids[rows, :width], batch.mask[rows, :width])))
    image, text = (torch.cat(side) for side in zip(*parts, strict=True))
    scalars = (towers.logit_scale, towers.logit_bias)
    value = dense_loss(image, text, *scalars, batch.groups, loss, labels, batch.certainty)
    value.backward()
    return value.detach(), _gradients(towers)


def _double(loss: Loss) -> Towers:
    towers = tiny_towers()
    if loss == "sigmoid":
        towers.add_logit_bias()
    return towers.double()


def _assert_equal(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert set(found) == set(expected)
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, atol=1e-10, rtol=0, msg=name)


@pytest.mark.fault(15)
@pytest.mark.parametrize(
    ("loss", "labels"),
    [
        ("softmax", Labels.SOFT_WITHIN),
        ("softmax", Labels.SOFT),
        ("softmax", Labels.MASK),
        ("softmax", Labels.HARD),
        ("sigmoid", Labels.SOFT_WITHIN),
        ("sigmoid", Labels.MASK),
    ],
)
@pytest.mark.parametrize("micro_batches", [1, 2, 3, 7])
def test_micro_batches_give_the_gradients_of_the_full_batch_with_dropout(
    micro_batches: int, loss: Loss, labels: Labels
) -> None:
    towers, batch = _double(loss), random_batch(13)
    towers.train(True)
    micro_batch_size = -(-len(batch) // micro_batches)
    cut = Budget(micro_batch_size).micro_batches(batch.lengths())
    assert len(cut) == micro_batches
    assert micro_batches == 1 or len(batch) % micro_batch_size != 0, "the last micro-batch is to be uneven"
    expected_loss, expected = _reference(towers, batch, cut, labels, loss)
    found_loss = accumulate_gradients(
        towers, batch, micro_batch_size=micro_batch_size, loss=loss, labels=labels, seed=SEED
    )
    found = _gradients(towers)
    assert set(expected) == {name for name, _ in towers.named_parameters()}
    torch.testing.assert_close(found_loss, expected_loss, atol=1e-10, rtol=0)
    _assert_equal(found, expected)
    assert expected["logit_scale"].abs() > 1e-6
    assert loss == "softmax" or expected["logit_bias"].abs() > 1e-6


@pytest.mark.fault(15)
@pytest.mark.parametrize("tokens", [1, 11, 20, 1000])
def test_streams_of_uneven_rows_give_the_gradients_of_the_full_batch_with_dropout(tokens: int) -> None:
    towers, batch = _double("softmax"), random_batch(13)
    towers.train(True)
    cut = Budget(13, tokens).micro_batches(batch.lengths())
    expected_loss, expected = _reference(towers, batch, cut, "soft")
    loss = accumulate_gradients(towers, batch, micro_batch_size=13, micro_batch_tokens=tokens, labels="soft", seed=SEED)
    torch.testing.assert_close(loss, expected_loss, atol=1e-10, rtol=0)
    _assert_equal(_gradients(towers), expected)


@pytest.mark.fault(15)
@pytest.mark.parametrize("micro_batch_size", [15, 8, 6, 4, 1])
def test_without_dropout_the_gradients_do_not_depend_on_the_streams(micro_batch_size: int) -> None:
    towers, batch = _double("softmax"), random_batch(15)
    _, expected = _reference(towers, batch, [slice(0, 15)], "soft")
    accumulate_gradients(towers, batch, micro_batch_size=micro_batch_size, labels="soft", seed=SEED)
    _assert_equal(_gradients(towers), expected)


@pytest.mark.fault(15)
@pytest.mark.parametrize(("precision", "tolerance"), [("bfloat16", 2**-7), ("float16", 2**-9)])
@pytest.mark.parametrize("micro_batch_size", [8, 6, 1])
def test_in_reduced_precision_streams_differ_from_the_full_batch_by_rounding_only(
    micro_batch_size: int, precision: Precision, tolerance: float
) -> None:
    towers, batch = tiny_towers(), random_batch(15)
    shared: dict[str, Any] = {"labels": "soft", "seed": SEED, "precision": precision}
    if precision == "float16":
        shared["loss_scale"] = 2.0**6
    full = accumulate_gradients(towers, batch, micro_batch_size=15, **shared)
    expected = _gradients(towers)
    found = accumulate_gradients(towers, batch, micro_batch_size=micro_batch_size, **shared)
    torch.testing.assert_close(found, full, atol=0, rtol=tolerance)
    whole, parts = (torch.cat([g[name].flatten() for name in expected]) for g in (expected, _gradients(towers)))
    assert (parts - whole).norm() <= 4 * tolerance * whole.norm()
    torch.testing.assert_close(towers.logit_scale.grad, expected["logit_scale"], atol=tolerance, rtol=4 * tolerance)


def test_the_loss_scale_cancels_and_saves_small_gradients_in_float16() -> None:
    towers, batch = tiny_towers(), random_batch(15)
    accumulate_gradients(towers, batch, micro_batch_size=6, labels="soft", seed=SEED, loss_scale=2.0**10)
    scaled = _gradients(towers)
    accumulate_gradients(towers, batch, micro_batch_size=6, labels="soft", seed=SEED)
    for name, gradient in _gradients(towers).items():
        assert torch.equal(scaled[name], gradient), "a power of two rounds nothing in float32"


def test_gradients_that_were_there_before_are_dropped() -> None:
    towers, batch = tiny_towers(), random_batch()
    for _ in range(2):
        accumulate_gradients(towers, batch, micro_batch_size=5, labels="soft", seed=SEED)
    twice = _gradients(towers)
    towers.zero_grad()
    accumulate_gradients(towers, batch, micro_batch_size=5, labels="soft", seed=SEED)
    assert all(torch.equal(twice[name], gradient) for name, gradient in _gradients(towers).items())


def test_dropout_differs_between_steps_and_leaves_the_global_generator_alone() -> None:
    towers, batch = tiny_towers(), random_batch()
    towers.train(True)
    state = torch.get_rng_state()
    losses = [
        accumulate_gradients(towers, batch, micro_batch_size=5, labels="soft", seed=(0, step)) for step in (0, 0, 1)
    ]
    assert torch.equal(losses[0], losses[1])
    assert not torch.equal(losses[0], losses[2])
    assert torch.equal(torch.get_rng_state(), state)


def test_a_frozen_tower_gets_no_gradient() -> None:
    towers, batch = tiny_towers(), random_batch()
    towers.image_encoder.requires_grad_(False)
    accumulate_gradients(towers, batch, micro_batch_size=5, labels="soft", seed=SEED)
    assert all(parameter.grad is None for parameter in towers.image_encoder.parameters())
    assert all(parameter.grad is not None for parameter in towers.text_encoder.parameters())


def test_a_logit_bias_changes_nothing_of_the_softmax_loss() -> None:
    towers, biased, batch = tiny_towers(), tiny_towers(), random_batch()
    biased.add_logit_bias()
    assert (biased.logit_scale.exp().item(), biased.logit_bias.item()) == (pytest.approx(10.0), -10.0)
    with torch.no_grad():
        biased.logit_scale.copy_(towers.logit_scale)
    losses = [
        accumulate_gradients(own, batch, micro_batch_size=5, labels="soft", seed=SEED) for own in (towers, biased)
    ]
    assert torch.equal(*losses)
    found = _gradients(biased)
    assert "logit_bias" not in found
    assert all(torch.equal(found[name], gradient) for name, gradient in _gradients(towers).items())


def test_the_sigmoid_loss_without_a_bias_says_what_to_call() -> None:
    with pytest.raises(ValueError, match="add_logit_bias"):
        accumulate_gradients(
            tiny_towers(), random_batch(), micro_batch_size=5, labels="soft", loss="sigmoid", seed=SEED
        )


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_reduced_precision_keeps_the_loss_in_float32(precision: Precision) -> None:
    towers, batch = tiny_towers(), random_batch()
    exact = accumulate_gradients(towers, batch, micro_batch_size=5, labels="soft", seed=SEED)
    reduced = accumulate_gradients(towers, batch, micro_batch_size=5, labels="soft", seed=SEED, precision=precision)
    assert reduced.dtype == torch.float32
    assert not torch.equal(reduced, exact)
    torch.testing.assert_close(reduced, exact, atol=0.1, rtol=0)


@pytest.mark.fault(13)
@pytest.mark.parametrize("loss", ["softmax", "sigmoid"])
@pytest.mark.parametrize("labels", list(Labels))
def test_a_batch_of_one_product_and_a_constant_batch_have_a_finite_loss(loss: Loss, labels: Labels) -> None:
    towers = tiny_towers()
    towers.add_logit_bias()
    batch = random_batch(6, groups=[0] * 6)
    constant = Batch(
        *(tensor[:1].expand(6, *tensor.shape[1:]) for tensor in (batch.pixels, batch.ids, batch.mask)), batch.groups
    )
    for hostile in (batch, constant):
        found = accumulate_gradients(towers, hostile, micro_batch_size=4, loss=loss, labels=labels, seed=SEED)
        assert found.isfinite()
        assert all(gradient.isfinite().all() for gradient in _gradients(towers).values())
