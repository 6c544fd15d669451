"""Fine-tuning of a cross-encoder on labelled pairs, and what it says of others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.nn.utils import clip_grad_norm_

from ecclip.model import Preprocessor, text_lengths
from ecclip.tasks.config import TextMatcherConfig
from ecclip.tasks.matching.text_matcher.cross_encoder import CrossEncoder
from ecclip.train import rate_factor

_BATCH, _DECAY, _WARMUP, _NORM = 16, 0.01, 0.1, 1.0  # of BERT (Devlin et al. 2019, appendix A)
_READ = 64  # pairs tokenised and read at once, in parallel; by judgment


def fine_tune(
    reader: CrossEncoder,
    preprocessor: Preprocessor,
    texts: tuple[Sequence[str], Sequence[str]],
    labels: np.ndarray,
    cfg: TextMatcherConfig,
    seed: int = 0,
) -> None:
    """Fine-tune on pairs of ``texts`` [M] with labels 1 or 0 [M]; which text comes first changes from pass to pass.

    The order of the pairs is a pure function of the seed.
    """
    device, (left, right) = reader.head.weight.device, texts
    ids, mask = map(torch.from_numpy, preprocessor.pair_tokens([*left, *right], [*right, *left]))
    truth = torch.from_numpy(labels.astype(np.float32))
    parameters = [one for one in reader.parameters() if one.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=0.0, weight_decay=_DECAY, fused=True)
    batches = [*_batches(len(labels), cfg.epochs, seed)]
    for step, rows in enumerate(batches):
        for group in optimizer.param_groups:
            group["lr"] = cfg.learning_rate * rate_factor(step, len(batches), _WARMUP)
        logits = reader(*(part.to(device) for part in _trimmed(ids[rows], mask[rows])))
        optimizer.zero_grad(set_to_none=True)
        binary_cross_entropy_with_logits(logits, truth[rows % len(labels)].to(device)).backward()
        clip_grad_norm_(parameters, _NORM)
        optimizer.step()


def read_pairs(
    reader: CrossEncoder, preprocessor: Preprocessor, texts: tuple[Sequence[str], Sequence[str]], pool: Executor
) -> np.ndarray:
    """Return the log odds of one product for pairs of texts, float32 [M]; the order of the two does not matter."""
    pairs = [sorted(pair) for pair in zip(*texts, strict=True)]
    order = np.argsort([len(one) + len(other) for one, other in pairs], kind="stable")  # of like length together
    found = np.zeros(len(pairs), dtype=np.float32)

    def read(rows: np.ndarray) -> None:
        sides = ([pairs[row][side] for row in rows] for side in (0, 1))
        ids, mask = map(torch.from_numpy, preprocessor.pair_tokens(*sides))
        with torch.inference_mode():  # the mode is per thread
            found[rows] = reader(ids.to(device), mask.to(device)).cpu().numpy()

    device = reader.head.weight.device
    for _ in pool.map(read, [order[start : start + _READ] for start in range(0, len(order), _READ)]):
        pass
    return found


def _batches(pairs: int, epochs: int, seed: int) -> Iterator[Tensor]:
    """Yield the rows of every batch: a pair's number, with ``pairs`` added where its second text comes first."""
    for epoch in range(epochs):
        chance = np.random.default_rng([seed, epoch])
        rows = chance.permutation(pairs) + pairs * chance.integers(0, 2, pairs)
        yield from torch.from_numpy(rows).split(_BATCH)


def _trimmed(ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    longest = int(text_lengths(mask).max())
    return ids[:, :longest], mask[:, :longest]
