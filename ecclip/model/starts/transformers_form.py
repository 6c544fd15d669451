"""A start in the form of transformers: CLIP and SigLIP, FashionCLIP and SigLIP 2 of one resolution among them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor
from transformers import AutoConfig

from ecclip.model.config import TowersConfig
from ecclip.model.design import Channels, Design
from ecclip.model.starts.files import StartFiles
from ecclip.model.starts.renaming import below, timm_from_transformers
from ecclip.model.starts.taken import CLIP_MEAN, CLIP_STD, Taken, refuse, resolved, scalar
from ecclip.model.starts.tokenizing import Cleaning, take_tokenizer
from ecclip.product_input import Reading

# the entries of timm for both kinds; a start's own sizes are given beside them
TIMM_CLIP, TIMM_SIGLIP = "vit_base_patch16_clip_224", "vit_base_patch16_siglip_224"
TIMM_ACTIVATIONS = {"quick_gelu": "quick_gelu", "gelu": "gelu", "gelu_pytorch_tanh": "gelu_tanh"}
_KINDS = ("clip", "siglip")
_WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin")
_FILTERS = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}  # Pillow's numbers
_HALF = (0.5, 0.5, 0.5)  # of SigLIP (its image processor in transformers)


def take_transformers(cfg: TowersConfig, files: StartFiles) -> Taken:
    """Return what a CLIP or SigLIP model of transformers brings.

    Raises:
        ModelError: a file is missing, or the model is of another kind.
    """
    values = files.read_json("config.json")
    kind = str(values.get("model_type"))
    if kind not in _KINDS:
        step = "take a model of these kinds; of SigLIP 2, one with a fixed resolution (not NaFlex)"
        raise refuse("it is no dual encoder of a known kind", kind, ", ".join(_KINDS), step)
    config: Any = AutoConfig.for_model(**values)
    vision, text = config.vision_config, config.text_config
    size = _square_of(vision.image_size)
    reading, mean, std = _pixels_read(files, kind, size)
    siglip = kind == "siglip"
    tokens = take_tokenizer(cfg, files, _cleaning(files) if siglip else "none", fixed_length=siglip)
    state = files.weights(*_WEIGHTS)
    projection = _text_projection(state, siglip=siglip)
    length = min(tokens.length or text.max_position_embeddings, text.max_position_embeddings)
    return Taken(
        cfg=resolved(cfg, TIMM_SIGLIP if siglip else TIMM_CLIP, len(projection[0]), size, length),
        design=Design(
            vision=_vision_arguments(vision, siglip=siglip),
            pooling="last",
            text_bias=projection[1] is not None,
            mean=mean,
            std=std,
            reading=Reading(**reading, pad_id=tokens.pad_id, fixed_length=siglip),
        ),
        text_config=text.to_dict(),
        image=timm_from_transformers(below(state, "vision_model.")),
        text={name: value for name, value in below(state, "text_model.").items() if not name.startswith("head.")},
        image_projection=state.get("visual_projection.weight"),
        text_projection=projection[0],
        text_bias=projection[1],
        logit_scale=state["logit_scale"].reshape(()),
        logit_bias=scalar(state, "logit_bias"),
        tokenizer=tokens.content,
    )


def mlp_ratio(hidden: int, width: int) -> float:
    """Return the ratio by which timm finds the width of a hidden layer, which it truncates."""
    return (hidden + 0.5) / width


def _vision_arguments(vision: Any, *, siglip: bool) -> dict[str, Any]:
    if vision.hidden_act not in TIMM_ACTIVATIONS:
        raise refuse("the activation of its vision tower", vision.hidden_act, ", ".join(TIMM_ACTIVATIONS))
    if siglip and not vision.vision_use_head:
        raise refuse("its vision tower has no pooling head", "vision_use_head: false", "true")
    return {
        "img_size": _square_of(vision.image_size),
        "patch_size": _square_of(vision.patch_size),
        "embed_dim": vision.hidden_size,
        "depth": vision.num_hidden_layers,
        "num_heads": vision.num_attention_heads,
        "mlp_ratio": mlp_ratio(vision.intermediate_size, vision.hidden_size),
        "act_layer": TIMM_ACTIVATIONS[vision.hidden_act],
        "norm_eps": vision.layer_norm_eps,
    }


def _text_projection(state: Mapping[str, Tensor], *, siglip: bool) -> tuple[Tensor, Tensor | None]:
    if siglip:
        return state["text_model.head.weight"], state["text_model.head.bias"]
    return state["text_projection.weight"], None


def _cleaning(files: StartFiles) -> Cleaning:
    """Return what SigLIP's texts go through: its own tokenizer drops punctuation, that of SigLIP 2 does not."""
    own = files.find_json("tokenizer_config.json").get("tokenizer_class")
    return "canonical" if str(own).startswith("SiglipTokenizer") else "lower"


def _pixels_read(files: StartFiles, kind: str, size: int) -> tuple[dict[str, Any], Channels, Channels]:
    """Return the rules for pictures, mean and standard deviation of an image processor of transformers."""
    found = files.read_json("preprocessor_config.json", "processor_config.json")
    found = found.get("image_processor", found)
    for switch in ("do_resize", "do_rescale"):
        if not found.get(switch, True):
            raise refuse(f"its image processor has {switch}", False, "true")
    if abs(found.get("rescale_factor", 1 / 255) * 255 - 1) > 1e-6:
        raise refuse("its pixels are scaled otherwise", found["rescale_factor"], "1/255")
    resample = _FILTERS.get(int(found.get("resample", 3)))
    if resample is None:
        raise refuse("the filter of its image processor", found["resample"], str(_FILTERS))
    usual: tuple[Channels, Channels] = (CLIP_MEAN, CLIP_STD) if kind == "clip" else (_HALF, _HALF)
    mean, std = (tuple(found.get(name, own)) for name, own in zip(("image_mean", "image_std"), usual, strict=True))
    if not found.get("do_normalize", True):
        mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    return _resizing(found, kind, size) | {"resample": resample}, mean, std


def _resizing(found: Mapping[str, Any], kind: str, size: int) -> dict[str, Any]:
    clip = kind == "clip"
    resized = found.get("size", size)
    if isinstance(resized, int):
        resized = {"shortest_edge": resized} if clip else {"height": resized, "width": resized}
    if resized == {"height": size, "width": size}:
        return {"resize": "squash"}
    short, cut = resized.get("shortest_edge"), found.get("crop_size", size)
    cut = cut if isinstance(cut, dict) else {"height": cut, "width": cut}
    cuts = found.get("do_center_crop", clip) and cut == {"height": size, "width": size}
    if short is None or not cuts or short < size:
        limit = f"to {size} x {size}, or the shorter side to at least {size} and cut out of the centre"
        raise refuse("how its image processor resizes", {"size": resized, "crop_size": cut}, limit)
    return {"resize": "crop", "shorter_side": short}


def _square_of(value: Any) -> int:
    sides = {value} if isinstance(value, int) else set(value)
    if len(sides) != 1:
        raise refuse("its pictures or patches are no squares", value, "one number")
    return int(sides.pop())
