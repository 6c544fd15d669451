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


def choose(
    client: ProductClient, products: Sequence[Product], name: str, options: Sequence[str], prompt: str = _PROMPT
) -> list[ZeroShot]:
    """Return for each listing which of ``options`` fits, as the value of an attribute called ``name``.

    ``prompt`` is what an option is called in front of the text tower, with ``{name}`` and ``{option}`` in it.

    Raises:
        ConfigError: fewer than two options, or one twice.
        ClientError: a message was not answered.
    """
    return _choose(client, products, options, [prompt.format(name=name, option=option) for option in options])


def choose_category(
    client: ProductClient, products: Sequence[Product], categories: Mapping[tuple[str, ...], str]
) -> list[ZeroShot]:
    """Return for each listing which of ``categories`` fits: those without examples, and others to compare with.

    They are given as paths root to leaf, each with a description of what it is, or an empty text. Options are the paths
    with `` > `` between their names.

    Raises:
        ConfigError: fewer than two categories.
        ClientError: a message was not answered.
    """
    options = [" > ".join(path) for path in categories]
    return _choose(client, products, options, [_described(path, text) for path, text in categories.items()])


def _described(path: tuple[str, ...], description: str) -> str:
    """Return a category in front of the text tower: its leaf, as a kind of what stands above it, and what it is."""
    leaf, *above = reversed(path)
    kind = f", a kind of {above[0]}" if above else ""
    return f"a photo of {leaf}{kind}{f': {description}' if description else ''}"


def _choose(
    client: ProductClient, products: Sequence[Product], options: Sequence[str], prompts: Sequence[str]
) -> list[ZeroShot]:
    if len(options) < 2 or len(set(options)) < len(options):
        raise ConfigError(
            "a choice needs two different options at least", value=", ".join(options), next_step="name each option once"
        )
    asked = [Product(title=prompt) for prompt in prompts]
    answers = client.ask([*asked, *products])
    ways = np.stack([answer.embedding for answer in answers[: len(options)]])
    return [
        ZeroShot(None, {}, answer.error) if answer.error else _chosen(answer.embedding @ ways.T, options)
        for answer in answers[len(options) :]
    ]


def _chosen(cosines: np.ndarray, options: Sequence[str]) -> ZeroShot:
    powers = np.exp(_SCALE * (cosines.astype(np.float64) - float(cosines.max())))
    scores = {option: round(float(share), 6) for option, share in zip(options, powers / powers.sum(), strict=True)}
    return ZeroShot(max(options, key=scores.__getitem__), scores)
