"""Zero-shot: which of given options fits a listing best, by the service's embeddings alone; nothing is learnt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import ConfigError
from .clients import ProductClient
from .types import Product

_PROMPT = "a photo of a product, {name}: {option}"
_SCALE = 1 / 0.07  # of cosines: the temperature that CLIP begins with (Radford et al. 2021, section 2.5)


@dataclass(frozen=True)
class ZeroShot:
    """The option that fits best, and how well each fits: shares that sum to 1, and no calibrated probabilities.

    ``error`` says why a listing has no answer; then there is no ``value``. ``decision`` is never `auto`: nobody has
    shown how often such answers are right.
    """

    value: str | None
    scores: dict[str, float]
    error: str = ""
    decision: str = "review"
    zero_shot: bool = True


@dataclass(frozen=True)
class Words:
    """What a category is in words, and what else it is called: by sellers, or in other languages."""

    description: str = ""
    synonyms: Sequence[str] = ()


def choose(
    client: ProductClient, products: Sequence[Product], name: str, options: Sequence[str], prompt: str = _PROMPT
) -> list[ZeroShot]:
    """Return for each listing which of ``options`` fits, as the value of an attribute called ``name``.

    ``prompt`` is what an option is called in front of the text tower, with ``{name}`` and ``{option}`` in it.

    Raises:
        ConfigError: fewer than two options, or one twice.
        ClientError: a message was not answered.
    """
    return _choose(client, products, options, [[prompt.format(name=name, option=option)] for option in options])


def choose_category(
    client: ProductClient, products: Sequence[Product], categories: Mapping[tuple[str, ...], str | Words]
) -> list[ZeroShot]:
    """Return for each listing which of ``categories`` fits: those without examples, and others to compare with.

    They are given as paths root to leaf, each with a description of what it is, an empty text, or :class:`Words`: then
    the mean of what the text tower makes of its name and of each synonym is compared. Options are the paths with
    `` > `` between their names.

    Raises:
        ConfigError: fewer than two categories.
        ClientError: a message was not answered.
    """
    options = [" > ".join(path) for path in categories]
    return _choose(client, products, options, [_prompts(path, words) for path, words in categories.items()])


def _prompts(path: tuple[str, ...], words: str | Words) -> list[str]:
    """Return a category in front of the text tower: its leaf, and each synonym, as a kind of what stands above it; and
    what it is.
    """
    given = Words(words) if isinstance(words, str) else words
    *above, leaf = path
    kind = f", a kind of {above[-1]}" if above else ""
    what = f": {given.description}" if given.description else ""
    return [f"a photo of {name}{kind}{what}" for name in dict.fromkeys((leaf, *given.synonyms))]


def _choose(
    client: ProductClient, products: Sequence[Product], options: Sequence[str], prompts: Sequence[Sequence[str]]
) -> list[ZeroShot]:
    if len(options) < 2 or len(set(options)) < len(options):
        raise ConfigError(
            "a choice needs two different options at least", value=", ".join(options), next_step="name each option once"
        )
    asked = [Product(title=prompt) for own in prompts for prompt in own]
    answers = client.ask([*asked, *products])
    ways = _means([answer.embedding for answer in answers[: len(asked)]], [len(own) for own in prompts])
    return [
        ZeroShot(None, {}, answer.error) if answer.error else _chosen(answer.embedding @ ways.T, options)
        for answer in answers[len(asked) :]
    ]


def _means(embeddings: Sequence[np.ndarray], counts: Sequence[int]) -> np.ndarray:
    """Return the mean of each option's embeddings, of length 1 [options, d]; ``counts`` are how many each has."""
    parts = np.split(np.stack(embeddings), np.cumsum(counts)[:-1])
    means = np.stack([part.mean(axis=0) for part in parts])
    found: np.ndarray = means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)
    return found


def _chosen(cosines: np.ndarray, options: Sequence[str]) -> ZeroShot:
    powers = np.exp(_SCALE * (cosines.astype(np.float64) - float(cosines.max())))
    scores = {option: round(float(share), 6) for option, share in zip(options, powers / powers.sum(), strict=True)}
    return ZeroShot(max(options, key=scores.__getitem__), scores)
