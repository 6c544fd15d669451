"""A start in the form of open_clip: CLIP and SigLIP, Marqo's FashionSigLIP among them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor
from transformers import CLIPTextConfig, SiglipTextConfig

from ecclip.model.config import TowersConfig
from ecclip.model.design import Channels, Design
from ecclip.model.starts.files import StartFiles
from ecclip.model.starts.renaming import below, timm_from_open_clip, transformers_from_open_clip
from ecclip.model.starts.taken import CLIP_MEAN, CLIP_STD, Taken, refuse, resolved, scalar
from ecclip.model.starts.tokenizing import Cleaning, take_tokenizer
from ecclip.model.starts.transformers_form import TIMM_ACTIVATIONS, TIMM_CLIP, mlp_ratio
from ecclip.product_input import Reading

_WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors", "open_clip_pytorch_model.bin")
_CLEANINGS: dict[str, Cleaning] = {"whitespace": "space", "lower": "lower", "canonicalize": "apart"}
_RESIZES = {"shortest": "crop", "squash": "squash"}
# parameters that are taken over, and those that decide about training or form alone; any other must be off
_MODEL = {"embed_dim", "vision_cfg", "text_cfg", "quick_gelu", "custom_text"}
_MODEL_ASIDE = {"init_logit_scale", "init_logit_bias", "nonscalar_logit_scale"}
_VISION = {"layers", "width", "head_width", "mlp_ratio", "patch_size", "image_size", "act_kwargs", "norm_kwargs"}
_VISION_ASIDE = {"patch_dropout", "output_tokens", "attn_pooler_queries", "attn_pooler_heads", "timm_pool", "timm_proj"}
_TIMM = {"timm_model_name", "timm_pool", "timm_proj", "image_size"}
_TIMM_ASIDE = {"timm_model_pretrained", "timm_drop", "timm_drop_path", "patch_dropout"}
_TEXT = {"context_length", "vocab_size", "width", "heads", "layers", "mlp_ratio", "act_kwargs", "norm_kwargs"}
_TEXT |= {"hf_tokenizer_name", "tokenizer_kwargs", "no_causal_mask", "pool_type", "proj_bias"}
_TEXT_ASIDE = {"pad_id", "eos_id", "output_tokens", "hf_model_pretrained", "hf_proj_type", "hf_pooler_type"}
_USUAL = {"pos_embed_type": "learnable", "pool_type": "tok", "proj_type": "linear", "block_type": "default"}


def take_open_clip(cfg: TowersConfig, files: StartFiles) -> Taken:
    """Return what a model of open_clip brings: ``open_clip_config.json`` and its weights.

    Raises:
        ModelError: a file is missing, or the model has a part that is not represented exactly.
    """
    config = files.read_json("open_clip_config.json")
    model = config["model_cfg"]
    vision, text = dict(model["vision_cfg"]), dict(model["text_cfg"])
    _only(model, _MODEL, _MODEL_ASIDE, "model_cfg")
    _only(text, _TEXT, _TEXT_ASIDE, "text_cfg")
    siglip = _reads_in_full(text)
    size = int(vision.get("image_size", 224))
    tokens = take_tokenizer(cfg, _tokenizer_files(text, files), _cleaning(text), fixed_length=siglip)
    reading, mean, std = _pixels_read(config.get("preprocess_cfg", {}))
    state = files.weights(*_WEIGHTS)
    name, arguments, image, projection = _vision(vision, below(state, "visual."), model.get("quick_gelu", False), size)
    own_text = _text_state(state)
    text_projection, text_bias = _text_projection(own_text)
    return Taken(
        cfg=resolved(cfg, name, int(model["embed_dim"]), size, int(text.get("context_length", 77))),
        design=Design(
            vision=arguments,
            pooling="last",
            text_bias=text_bias is not None,
            mean=mean,
            std=std,
            reading=Reading(**reading, pad_id=tokens.pad_id, fixed_length=siglip),
        ),
        text_config=_text_config(text, model.get("quick_gelu", False), siglip=siglip),
        image=image,
        text=transformers_from_open_clip(own_text, ["text_projection", "attn_mask"]),
        image_projection=projection,
        text_projection=text_projection,
        text_bias=text_bias,
        logit_scale=state["logit_scale"].reshape(()),
        logit_bias=scalar(state, "logit_bias"),
        tokenizer=tokens.content,
    )


def _only(given: Mapping[str, Any], taken: set[str], aside: set[str], what: str) -> None:
    """Raise ModelError at a parameter that changes what is computed and is not taken over."""
    for name, value in given.items():
        if name not in taken | aside and value and value != _USUAL.get(name):
            raise refuse(f"open_clip's {what}.{name}", value, "a model without it")


def _reads_in_full(text: Mapping[str, Any]) -> bool:
    """Return whether the text tower reads as SigLIP's does: without a mask, the last of its tokens being the text's."""
    pooled, full = text.get("pool_type", "argmax"), bool(text.get("no_causal_mask"))
    if (full and pooled == "last") or (not full and pooled == "argmax" and not text.get("hf_tokenizer_name")):
        return full
    limit = "no_causal_mask with last, or a causal mask with argmax and CLIP's own tokenizer"
    raise refuse("how its text tower reads and pools", f"no_causal_mask: {full}, pool_type: {pooled}", limit)


def _tokenizer_files(text: Mapping[str, Any], files: StartFiles) -> StartFiles:
    """Return where the tokenizer lies: beside the weights, or in the repository that the model names."""
    named = text.get("hf_tokenizer_name")
    own = any(files.find(name) for name in ("tokenizer.json", "vocab.json"))
    return files if own or not named else StartFiles(str(named))


def _cleaning(text: Mapping[str, Any]) -> Cleaning:
    options = dict(text.get("tokenizer_kwargs") or {})
    clean = options.pop("clean", "whitespace" if text.get("hf_tokenizer_name") else "lower")
    if clean not in _CLEANINGS or any(options.values()):
        raise refuse("open_clip's tokenizer_kwargs", text["tokenizer_kwargs"], f"clean: {', '.join(_CLEANINGS)}")
    return _CLEANINGS[clean] if text.get("hf_tokenizer_name") else "none"


def _pixels_read(found: Mapping[str, Any]) -> tuple[dict[str, Any], Channels, Channels]:
    resize, resample = found.get("resize_mode") or "shortest", found.get("interpolation") or "bicubic"
    if resize not in _RESIZES:
        raise refuse("open_clip's preprocess_cfg.resize_mode", resize, ", ".join(_RESIZES))
    mean, std = (tuple(found.get(name) or usual) for name, usual in (("mean", CLIP_MEAN), ("std", CLIP_STD)))
    return {"resize": _RESIZES[resize], "resample": "bicubic" if resample == "random" else resample}, mean, std


def _vision(
    vision: dict[str, Any], state: dict[str, Tensor], quick: bool, size: int
) -> tuple[str, dict[str, Any], dict[str, Tensor], Tensor | None]:
    """Return timm's name and arguments of the vision tower, its weights and its projection."""
    if vision.get("timm_model_name"):
        return _timm_vision(vision, state)
    _only(vision, _VISION, _VISION_ASIDE, "vision_cfg")
    if not isinstance(vision.get("layers", 12), int):
        raise refuse("its vision tower is a ResNet of CLIP's own", vision["layers"], "a vision transformer")
    width = vision.get("width", 768)
    arguments = {
        "img_size": size,
        "patch_size": vision.get("patch_size", 16),
        "embed_dim": width,
        "depth": vision.get("layers", 12),
        "num_heads": width // vision.get("head_width", 64),
        "mlp_ratio": mlp_ratio(int(width * vision.get("mlp_ratio", 4.0)), width),
        "act_layer": TIMM_ACTIVATIONS[_activation(vision, quick)],
        "norm_eps": (vision.get("norm_kwargs") or {}).get("eps", 1e-5),
    }
    return TIMM_CLIP, arguments, timm_from_open_clip(state), state["proj"].T.contiguous()


def _timm_vision(
    vision: dict[str, Any], state: dict[str, Tensor]
) -> tuple[str, dict[str, Any], dict[str, Tensor], Tensor | None]:
    _only(vision, _TIMM, _TIMM_ASIDE | _VISION | _VISION_ASIDE, "vision_cfg")
    pool, projected = vision.get("timm_pool", "avg"), vision.get("timm_proj", "linear")
    if pool in ("abs_attn", "rot_attn") or projected not in ("linear", "none"):
        limit = "a pooling of timm's own, timm_proj: linear or none"
        raise refuse("how its vision tower ends", f"timm_pool: {pool}, timm_proj: {projected}", limit)
    # where nothing is projected, timm builds the network with this pooling, else it is changed afterwards
    pooling = {"global_pool" if projected == "none" else "pool_afterwards": pool} if pool else {}
    return str(vision["timm_model_name"]), pooling, below(state, "trunk."), state.get("head.proj.weight")


def _activation(part: Mapping[str, Any], quick: bool) -> str:
    """Return an activation by its name in transformers."""
    options = part.get("act_kwargs") or {}
    if options.get("approximate") == "tanh" and not quick:
        return "gelu_pytorch_tanh"
    if options:
        raise refuse("open_clip's act_kwargs", options, "approximate: tanh")
    return "quick_gelu" if quick else "gelu"


def _text_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of the text tower, which some models keep below ``text.`` and some at the top."""
    custom = below(state, "text.")
    beside = ("visual.", "logit_")
    return custom or {name: value for name, value in state.items() if not name.startswith(beside)}


def _text_projection(state: Mapping[str, Tensor]) -> tuple[Tensor, Tensor | None]:
    if "text_projection" in state:
        return state["text_projection"].T.contiguous(), None
    return state["text_projection.weight"], state.get("text_projection.bias")


def _text_config(text: Mapping[str, Any], quick: bool, *, siglip: bool) -> dict[str, Any]:
    width = text.get("width", 512)
    kind: Any = SiglipTextConfig if siglip else CLIPTextConfig
    values: dict[str, Any] = kind(
        vocab_size=text.get("vocab_size", 49408),
        hidden_size=width,
        intermediate_size=int(width * text.get("mlp_ratio", 4.0)),
        num_hidden_layers=text.get("layers", 12),
        num_attention_heads=text.get("heads", 8),
        max_position_embeddings=text.get("context_length", 77),
        hidden_act=_activation(text, quick),
        layer_norm_eps=(text.get("norm_kwargs") or {}).get("eps", 1e-5),
    ).to_dict()
    return values
