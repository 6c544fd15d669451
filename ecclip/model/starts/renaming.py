"""Weights under the names of timm's vision transformer and transformers' text towers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

_Pairs = tuple[tuple[str, str], ...]
_VISION_OF_TRANSFORMERS: _Pairs = (
    ("embeddings.patch_embedding", "patch_embed.proj"),
    ("embeddings.position_embedding.weight", "pos_embed"),
    ("embeddings.class_embedding", "cls_token"),
    ("pre_layrnorm", "norm_pre"),
    ("post_layernorm", "norm"),
    ("encoder.layers", "blocks"),
    ("layer_norm", "norm"),
    ("self_attn.out_proj", "attn.proj"),
    ("self_attn", "attn"),
    ("head.probe", "attn_pool.latent"),
    ("head.attention.out_proj", "attn_pool.proj"),
    ("head.attention.in_proj_", "attn_pool.in_proj."),
    ("head.layernorm", "attn_pool.norm"),
    ("head.mlp", "attn_pool.mlp"),
)
_VISION_OF_OPEN_CLIP: _Pairs = (
    ("conv1", "patch_embed.proj"),
    ("positional_embedding", "pos_embed"),
    ("class_embedding", "cls_token"),
    ("transformer.resblocks", "blocks"),
    ("ln_pre", "norm_pre"),
    ("ln_post", "norm"),
    ("ln_", "norm"),
    ("attn.in_proj_", "attn.qkv."),
    ("attn.out_proj", "attn.proj"),
    ("mlp.c_fc", "mlp.fc1"),
    ("mlp.c_proj", "mlp.fc2"),
)
_TEXT_OF_OPEN_CLIP: _Pairs = (
    ("token_embedding", "embeddings.token_embedding"),
    ("positional_embedding", "embeddings.position_embedding.weight"),
    ("transformer.resblocks", "encoder.layers"),
    ("ln_final", "final_layer_norm"),
    ("ln_", "layer_norm"),
    ("attn.", "self_attn."),
    ("mlp.c_fc", "mlp.fc1"),
    ("mlp.c_proj", "mlp.fc2"),
)


def below(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the weights below a prefix by the rest of their names, without buffers that are only counted up."""
    names = [name for name in state if name.startswith(prefix) and not name.endswith("position_ids")]
    return {name.removeprefix(prefix): state[name] for name in names}


def timm_from_transformers(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of a CLIP or SigLIP vision tower of transformers as timm's ``VisionTransformer`` has them."""
    renamed = _renamed(state, _VISION_OF_TRANSFORMERS)
    for name in [name for name in renamed if re.search(r"attn\.q_proj\.", name)]:
        parts = [renamed.pop(name.replace("q_proj", part)) for part in ("q_proj", "k_proj", "v_proj")]
        renamed[name.replace("q_proj", "qkv")] = torch.cat(parts)
    for kind in ("weight", "bias"):
        joined = renamed.pop(f"attn_pool.in_proj.{kind}", None)
        if joined is not None:
            query, key, value = joined.chunk(3)
            renamed |= {f"attn_pool.q.{kind}": query, f"attn_pool.kv.{kind}": torch.cat([key, value])}
    return _with_batch(renamed)


def timm_from_open_clip(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of open_clip's own vision transformer, its projection left out, as timm has them."""
    return _with_batch(_renamed({name: state[name] for name in state if name != "proj"}, _VISION_OF_OPEN_CLIP))


def transformers_from_open_clip(state: Mapping[str, Tensor], left_out: Iterable[str]) -> dict[str, Tensor]:
    """Return the weights of open_clip's text transformer as the text towers of transformers have them."""
    kept = {name: value for name, value in state.items() if not name.startswith(tuple(left_out))}
    renamed = _renamed(kept, _TEXT_OF_OPEN_CLIP)
    for name in [name for name in renamed if "self_attn.in_proj_" in name]:
        parts = zip(("q_proj", "k_proj", "v_proj"), renamed.pop(name).chunk(3), strict=True)
        renamed |= {name.replace("in_proj_", f"{part}."): value for part, value in parts}
    return renamed


def _renamed(state: Mapping[str, Tensor], pairs: _Pairs) -> dict[str, Tensor]:
    found = {}
    for name, value in state.items():
        for old, new in pairs:
            name = name.replace(old, new)
        found[name] = value
    return found


def _with_batch(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Give position and class embeddings the dimension of the batch, which timm keeps in its weights."""
    for name, shape in (("pos_embed", (1, -1)), ("cls_token", (1, 1))):
        if name in state:
            state[name] = state[name].reshape(*shape, state[name].shape[-1])
    return state
