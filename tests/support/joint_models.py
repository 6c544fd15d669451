"""Small random joint models in the forms that the hub has: CLIP and SigLIP of transformers, and of open_clip."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, pre_tokenizers, processors
from tokenizers.models import WordLevel
from transformers import CLIPConfig, CLIPModel, SiglipConfig, SiglipModel

SIDE, TOKENS = 32, 12
WORDS = ["red", "mug", "a", "blue", "bag", "no5", "cotton", "tote", "of", "the", "size", "xl"]
_START, _END = "<|startoftext|>", "<|endoftext|>"
_SIZES: dict[str, Any] = {
    "hidden_size": 24,
    "intermediate_size": 50,  # no multiple of the width: timm takes a ratio and truncates
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
}


def clip_folder(folder: Path, *, activation: str = "quick_gelu", seed: int = 0) -> CLIPModel:
    """Write a CLIP model of transformers with vocab.json and merges.txt, as FashionCLIP has them, and return it."""
    vocabulary, merges = _bytes()
    text = {"vocab_size": len(vocabulary), "max_position_embeddings": TOKENS, "bos_token_id": vocabulary[_START]}
    text |= {"eos_token_id": vocabulary[_END], "pad_token_id": vocabulary[_END]}
    config = CLIPConfig(
        text_config=_SIZES | text | {"hidden_act": activation},
        vision_config=_SIZES | {"image_size": SIDE, "patch_size": 8, "hidden_act": activation},
        projection_dim=16,
        logit_scale_init_value=3.0,
    )
    model = _saved(CLIPModel, config, folder, seed)
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *(" ".join(pair) for pair in merges)]))
    _write(folder / "tokenizer_config.json", {"tokenizer_class": "CLIPTokenizer", "model_max_length": TOKENS})
    older = {"crop_size": SIDE, "do_center_crop": True, "resample": 3, "size": SIDE + 4}
    _write(folder / "preprocessor_config.json", older | {"image_mean": [0.48, 0.46, 0.41], "image_std": [0.27] * 3})
    return model


def siglip_folder(folder: Path, *, tokenizer: str = "SiglipTokenizer", seed: int = 0) -> SiglipModel:
    """Write a SigLIP model of transformers with tokenizer.json, and return it."""
    config = SiglipConfig(
        text_config=_SIZES | {"vocab_size": len(WORDS) + 2, "max_position_embeddings": TOKENS},
        vision_config=_SIZES | {"image_size": SIDE, "patch_size": 8},
    )
    model = _saved(SiglipModel, config, folder, seed)
    with torch.no_grad():
        model.logit_scale.fill_(4.7)
        model.logit_bias.fill_(-12.5)
    model.save_pretrained(folder)
    word_tokenizer().save(str(folder / "tokenizer.json"))
    described = {"tokenizer_class": tokenizer, "model_max_length": TOKENS, "pad_token": {"content": "</s>"}}
    _write(folder / "tokenizer_config.json", described)
    size = {"height": SIDE, "width": SIDE}
    _write(folder / "preprocessor_config.json", {"size": size, "resample": 2, "image_mean": [0.5] * 3})
    return model


def word_tokenizer() -> Tokenizer:
    """Return a tokenizer of words with SigLIP's tokens: </s> ends a text and fills it up."""
    vocabulary = {"</s>": 0, "<unk>": 1} | {word: number for number, word in enumerate(WORDS, start=2)}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 0)])
    return tokenizer


def as_open_clip(model: CLIPModel, source: Path, folder: Path) -> None:
    """Write a CLIP model of transformers once more, as open_clip has it, with the tokenizer of ``source``."""
    folder.mkdir(parents=True)
    given = model.state_dict()
    state = {"logit_scale": given["logit_scale"], "visual.proj": given["visual_projection.weight"].T}
    state["text_projection"] = given["text_projection.weight"].T
    for name, value in given.items():
        for ours, theirs, end in (("vision_model.", "visual.", "ln_post"), ("text_model.", "", "ln_final")):
            if name.startswith(ours):
                state |= _in_open_clip(name.removeprefix(ours), theirs, end, value, given, ours)
    save_file({name: value.contiguous() for name, value in state.items()}, folder / "open_clip_model.safetensors")
    width = _SIZES["hidden_size"]
    parts = {"width": width, "layers": 2, "mlp_ratio": 50.5 / width}  # 50, truncated
    size = len(json.loads((source / "vocab.json").read_text()))
    text = {"context_length": TOKENS, "vocab_size": size, "heads": 3}
    vision = {"image_size": SIDE, "patch_size": 8, "head_width": 8}
    model_cfg = {"embed_dim": 16, "quick_gelu": True, "vision_cfg": parts | vision, "text_cfg": parts | text}
    preprocess = {"mean": [0.5] * 3, "std": [0.25] * 3, "interpolation": "bicubic", "resize_mode": "shortest"}
    _write(folder / "open_clip_config.json", {"model_cfg": model_cfg, "preprocess_cfg": preprocess})
    for name in ("vocab.json", "merges.txt"):
        (folder / name).write_bytes((source / name).read_bytes())


def _in_open_clip(
    name: str, prefix: str, end: str, value: torch.Tensor, given: Mapping[str, torch.Tensor], below: str
) -> dict[str, torch.Tensor]:
    """Return a tensor under open_clip's name; queries, keys and values come together."""
    fixed = {
        "embeddings.class_embedding": "class_embedding",
        "embeddings.patch_embedding.weight": "conv1.weight",
        "embeddings.position_embedding.weight": "positional_embedding",
        "embeddings.token_embedding.weight": "token_embedding.weight",
    }
    if name in fixed:
        return {prefix + fixed[name]: value}
    module, _, kind = name.rpartition(".")
    if module in ("pre_layrnorm", "post_layernorm", "final_layer_norm"):
        return {f"{prefix}{'ln_pre' if module == 'pre_layrnorm' else end}.{kind}": value}
    _, _, layer, *rest = module.split(".")
    block, part = f"{prefix}transformer.resblocks.{layer}.", ".".join(rest)
    if part == "self_attn.q_proj":
        joined = [given[f"{below}encoder.layers.{layer}.self_attn.{one}_proj.{kind}"] for one in "qkv"]
        return {f"{block}attn.in_proj_{kind}": torch.cat(joined)}
    others = {"self_attn.out_proj": "attn.out_proj", "layer_norm1": "ln_1", "layer_norm2": "ln_2"}
    others |= {"mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj"}
    return {f"{block}{others[part]}.{kind}": value} if part in others else {}


def _saved(kind: Any, config: Any, folder: Path, seed: int) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = kind(config).eval()
        for parameter in model.parameters():  # norms and biases would be ones and zeros, and mistaken for each other
            if parameter.ndim == 1:
                parameter.data += 0.1 * torch.randn(parameter.shape)
    model.save_pretrained(folder)
    return model


def _bytes() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Return vocabulary and merges of a byte-level tokenizer whose last token ends a text, as in CLIP."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [("r", "e"), ("re", "d</w>"), ("m", "u"), ("mu", "g</w>")]
    tokens = [*alphabet, *(f"{sign}</w>" for sign in alphabet), *("".join(pair) for pair in merges), _START, _END]
    return {token: number for number, token in enumerate(tokens)}, merges


def _write(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content))
