"""What the two networks are built of where they come from a joint model; beside :class:`TowersConfig`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from ecclip.product_input import Reading

Channels = tuple[float, ...]
Pooling = Literal["mean", "last"]


@dataclass(frozen=True, kw_only=True)
class Design:
    """What a start brings beside its weights; the default is that of towers which :class:`TowersConfig` describes.

    Attributes:
        vision: arguments of timm's model beside its name; ``norm_eps`` is that of its layer norms.
        pooling: of the text tower: the ``mean`` over the tokens that count, or the ``last`` of them.
        text_bias: whether the text tower's projection has a bias.
        mean: of each channel, 0 to 1; None: that of timm's model.
        std: of each channel, 0 to 1; None: that of timm's model.
        reading: how photos and texts become pixels and tokens.
    """

    vision: Mapping[str, Any] = field(default_factory=dict)
    pooling: Pooling = "mean"
    text_bias: bool = False
    mean: Channels | None = None
    std: Channels | None = None
    reading: Reading = field(default_factory=Reading)

    def to_dict(self) -> dict[str, Any]:
        """Return the design as it travels with the weights."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Design:
        """Return the design that :meth:`to_dict` described."""
        channels = {name: None if values[name] is None else tuple(values[name]) for name in ("mean", "std")}
        return cls(**{**values, **channels, "reading": Reading(**values["reading"])})
