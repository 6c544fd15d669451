"""Writes small random models of the real open_clip with what they answer; runs where open_clip is installed.

``python open_clip_originals.py FOLDER`` makes FOLDER/clip, FOLDER/timm and FOLDER/siglip, each with
``open_clip_config.json``, ``open_clip_model.safetensors``, a tokenizer, and ``known.npz``.
"""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from joint_models import SIDE, TOKENS, WORDS, word_tokenizer
from PIL import Image
from safetensors.torch import save_file

TITLES = ["Red mug", "a BLUE cotton  tote-bag, size XL (no_5)!", "the mug of the size"]
_SIMPLE = {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.4], "interpolation": "bilinear", "resize_mode": "shortest"}
_SQUASH = {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "squash"}
_TEXT = {"context_length": TOKENS, "width": 24, "heads": 3, "layers": 2}
_NATIVE = {"image_size": SIDE, "layers": 2, "width": 32, "head_width": 8, "patch_size": 8}
_TIMM = {"image_size": 160, "timm_model_name": "test_vit"}
_SIGLIP_TEXT = {
    "vocab_size": len(WORDS) + 2,
    "tokenizer_kwargs": {"clean": "canonicalize"},
    "no_causal_mask": True,
    "proj_bias": True,
    "pool_type": "last",
    "norm_kwargs": {"eps": 1e-6},
    "act_kwargs": {"approximate": "tanh"},
}
MODELS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "clip": ({"embed_dim": 16, "quick_gelu": True, "vision_cfg": _NATIVE, "text_cfg": _TEXT}, _SIMPLE),
    "timm": ({"embed_dim": 16, "vision_cfg": _TIMM | {"timm_pool": "avg"}, "text_cfg": _TEXT}, _SIMPLE),
    "siglip": (
        {
            "embed_dim": 64,
            "init_logit_bias": -10,
            "custom_text": True,
            "vision_cfg": _TIMM | {"timm_pool": "map", "timm_proj": "none"},
            "text_cfg": _TEXT | _SIGLIP_TEXT,
        },
        _SQUASH,
    ),
}


def write(name: str, folder: Path) -> None:
    """Write one model and what it answers."""
    folder.mkdir(parents=True)
    model_cfg, preprocess = MODELS[name]
    if name == "siglip":
        _write_tokenizer(folder)
        model_cfg["text_cfg"]["hf_tokenizer_name"] = str(folder)
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": model_cfg, "preprocess_cfg": preprocess}))
    torch.manual_seed(1)
    kind = open_clip.CustomTextCLIP if model_cfg.get("custom_text") else open_clip.CLIP
    model: Any = kind(**{key: value for key, value in model_cfg.items() if key != "custom_text"}).eval()
    for parameter in model.parameters():
        parameter.data += 0.05 * torch.randn(parameter.shape)
    save_file({key: value.contiguous() for key, value in model.state_dict().items()}, folder / _WEIGHTS)
    side = model_cfg["vision_cfg"]["image_size"]
    transform = open_clip.image_transform(side, is_train=False, **preprocess)
    tokenizer = _tokenizer(model_cfg["text_cfg"])
    if name != "siglip":
        _write_clip_tokenizer(folder, tokenizer)
    photos = [_photo(side + 9, side + 30, 0), _photo(side * 2, side + 3, 1)]
    pixels = torch.stack([transform(Image.open(io.BytesIO(one))) for one in photos])
    ids = tokenizer(TITLES)
    with torch.inference_mode():
        image, text = model.encode_image(pixels, normalize=True), model.encode_text(ids, normalize=True)
        bias = 0.0 if model.logit_bias is None else model.logit_bias
        logits = model.logit_scale.exp() * image @ text.T + bias
    kept = {f"photo_{number}": np.frombuffer(one, np.uint8) for number, one in enumerate(photos)}
    answers = {"pixels": pixels.numpy(), "ids": ids.numpy(), "logits": logits.numpy()}
    np.savez(folder / "known.npz", titles=np.array(TITLES), **kept, **answers)


_WEIGHTS = "open_clip_model.safetensors"


def _tokenizer(text_cfg: dict[str, Any]) -> Any:
    if "hf_tokenizer_name" not in text_cfg:
        return open_clip.SimpleTokenizer(context_length=TOKENS)
    return open_clip.tokenizer.HFTokenizer(text_cfg["hf_tokenizer_name"], TOKENS, **text_cfg["tokenizer_kwargs"])


def _write_tokenizer(folder: Path) -> None:
    word_tokenizer().save(str(folder / "tokenizer.json"))
    described = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": TOKENS, "pad_token": "</s>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(described))


def _write_clip_tokenizer(folder: Path, tokenizer: Any) -> None:
    """Write CLIP's vocabulary and merges, which open_clip carries, as the hub has them."""
    named = {"<start_of_text>": "<|startoftext|>", "<end_of_text>": "<|endoftext|>"}
    vocabulary = {named.get(token, token): number for token, number in tokenizer.encoder.items()}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    ranked = sorted(tokenizer.bpe_ranks, key=tokenizer.bpe_ranks.__getitem__)
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *(" ".join(pair) for pair in ranked)]))


def _photo(width: int, height: int, seed: int) -> bytes:
    noise = np.random.default_rng(seed).integers(0, 256, (height // 4, width // 4, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


if __name__ == "__main__":
    for each in MODELS:
        write(each, Path(sys.argv[1]) / each)
