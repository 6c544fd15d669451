"""Streams are cut by images and tokens, and shrink until the memory suffices."""

from __future__ import annotations

import pytest
import torch
from tiny_training import random_batch, tiny_towers
from training_faults import limit_memory

from ecclip.train import OutOfMemoryError, accumulate_gradients
from ecclip.train.engine.budget import Budget, is_out_of_memory, within_memory


def _cut(budget: Budget, lengths: list[int]) -> list[int]:
    micro_batches = budget.micro_batches(lengths)
    assert [part.start for part in micro_batches] == [0, *(part.stop for part in micro_batches[:-1])]
    assert micro_batches[-1].stop == len(lengths)
    return [part.stop - part.start for part in micro_batches]


@pytest.mark.parametrize(("images", "expected"), [(20, [13]), (13, [13]), (5, [5, 5, 3]), (1, [1] * 13)])
def test_images_alone_cut_equal_streams_and_an_uneven_last_one(images: int, expected: list[int]) -> None:
    assert _cut(Budget(images), [7] * 13) == expected


def test_tokens_count_the_padding_to_the_longest_text_of_the_stream() -> None:
    assert _cut(Budget(100, 20), [4, 4, 4, 4, 4, 4]) == [5, 1]
    assert _cut(Budget(100, 20), [4, 4, 10, 4, 4, 4]) == [2, 2, 2]
    assert _cut(Budget(100, 20), [4, 4, 4, 10, 4, 4]) == [3, 2, 1]
    assert _cut(Budget(2, 20), [4, 4, 4, 4, 4, 4]) == [2, 2, 2]


def test_a_text_longer_than_the_budget_is_a_stream_of_its_own() -> None:
    assert _cut(Budget(8, 20), [4, 30, 4, 4]) == [1, 1, 2]


def test_half_a_budget_counts_from_what_the_rows_can_fill() -> None:
    assert Budget(128, 1000).halved(64) == Budget(32, 500)
    assert Budget(7).halved(64) == Budget(3)
    with pytest.raises(OutOfMemoryError, match="micro-batches of 1 pair"):
        Budget(1).halved(64)
    with pytest.raises(OutOfMemoryError, match="next: use smaller towers"):
        Budget(128).halved(1)


def test_the_allocators_own_errors_are_known_and_other_errors_are_not() -> None:
    with pytest.raises(RuntimeError) as raised:
        torch.empty(2**62, dtype=torch.uint8)
    assert is_out_of_memory(raised.value)
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert is_out_of_memory(MemoryError())
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    with pytest.raises(RuntimeError, match="shapes"):
        within_memory(lambda _: torch.ones(2, 3) @ torch.ones(2, 3), Budget(8), 8, lambda _: None)


def test_a_step_is_tried_again_in_halves_until_it_fits_and_leaves_the_gradients_of_small_streams() -> None:
    towers, batch, halves = tiny_towers(), random_batch(14), []
    towers.train(True)
    accumulate_gradients(towers, batch, micro_batch_size=3, labels="soft", seed=(0, 1))
    expected = {name: parameter.grad for name, parameter in towers.named_parameters()}
    sizes = limit_memory(towers, 4)
    within_memory(
        lambda budget: accumulate_gradients(towers, batch, micro_batch_size=budget.images, labels="soft", seed=(0, 1)),
        Budget(64),
        14,
        halves.append,
    )
    assert halves == [Budget(7), Budget(3)]
    assert sizes == [14, 7, 3, 3, 3, 3, 2, 3, 3, 3, 3]
    assert all(torch.equal(parameter.grad, expected[name]) for name, parameter in towers.named_parameters())


def test_memory_that_runs_out_in_the_second_pass_leaves_no_half_gradient() -> None:
    towers, batch = tiny_towers(), random_batch(14)
    accumulate_gradients(towers, batch, micro_batch_size=3, labels="soft", seed=(0, 1))
    expected = {name: parameter.grad for name, parameter in towers.named_parameters()}
    calls: list[int] = []

    def fail_once(_module: object, inputs: tuple[torch.Tensor, ...]) -> None:
        calls.append(len(inputs[0]))
        if len(calls) == 3:  # a micro-batch without a graph, the last with one, and now the first again
            torch.empty(2**62, dtype=torch.uint8)

    towers.image_encoder.register_forward_pre_hook(fail_once)
    within_memory(
        lambda budget: accumulate_gradients(towers, batch, micro_batch_size=budget.images, labels="soft", seed=(0, 1)),
        Budget(7),
        14,
        lambda _: None,
    )
    assert calls == [7, 7, 7, 3, 3, 3, 3, 2, 3, 3, 3, 3]
    assert all(torch.equal(parameter.grad, expected[name]) for name, parameter in towers.named_parameters())


def test_not_even_one_pair_is_a_clear_error() -> None:
    towers, batch = tiny_towers(), random_batch(14)
    sizes = limit_memory(towers, 0)
    with pytest.raises(OutOfMemoryError, match="not even one pair"):
        within_memory(
            lambda budget: accumulate_gradients(
                towers, batch, micro_batch_size=budget.images, labels="soft", seed=(0, 1)
            ),
            Budget(4),
            14,
            lambda _: None,
        )
    assert sizes == [4, 2, 1]
