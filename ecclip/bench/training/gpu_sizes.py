"""How much the GPU benchmark does: ViT-B/32 on a card, or just enough to prove the script on a CPU."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ecclip.model import TowersConfig


@dataclass(frozen=True, kw_only=True)
class GpuSizes:
    """Towers, batches and repetitions.

    Attributes:
        vision: name of a timm model.
        image_size: side of its square picture in pixels.
        text: transformers configuration of the text encoder.
        embedding_dim: width of both embeddings.
        tokens: of a text; one measurement each, the first one is the headline's.
        plain_batch: pairs of a plain step, and of a micro-batch where a batch is accumulated.
        effective_batch: pairs of an accumulated step.
        repetitions: timed steps of each system.
        matmul_side: rows and columns of the ceiling's matrices.
        copy_bytes: of the ceiling's copy.
        ceiling_seconds: of measuring each ceiling, long enough for clocks and heat to settle; by judgment.
        loader_pairs: made-up listings that the real loader reads.
        loader_batch: pairs of a step of that training.
        workers: threads that decode.
    """

    vision: str = "vit_base_patch32_224"
    image_size: int = 224
    text: dict[str, Any]
    embedding_dim: int = 512
    tokens: tuple[int, ...] = (32, 77)
    plain_batch: int = 2048
    effective_batch: int = 32_768
    repetitions: int = 3
    matmul_side: int = 8192
    copy_bytes: int = 4 * 2**30
    ceiling_seconds: float = 1.0
    loader_pairs: int = 8192
    loader_batch: int = 512
    workers: int = 14


def _text(layers: int, width: int, heads: int, vocabulary: int) -> dict[str, Any]:
    return {
        "model_type": "bert",
        "vocab_size": vocabulary,
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": 4 * width,
        "max_position_embeddings": 128,
    }


FULL = GpuSizes(text=_text(12, 512, 8, 30522))
TINY = GpuSizes(
    vision="test_vit",
    image_size=160,
    text=_text(2, 32, 2, 200),
    embedding_dim=32,
    tokens=(8, 12),
    plain_batch=8,
    effective_batch=32,
    repetitions=2,
    matmul_side=256,
    copy_bytes=2**22,
    ceiling_seconds=0.05,
    loader_pairs=32,
    loader_batch=8,
    workers=2,
)


def gpu_towers(sizes: GpuSizes, tokens: int, tokenizer: Path) -> TowersConfig:
    """Return random towers for texts of one length, without dropout, attention by torch's fused kernels where known."""
    known = {field.name for field in fields(TowersConfig)}
    switches: dict[str, Any] = {"attention": "sdpa"}
    return TowersConfig(
        vision=sizes.vision,
        vision_weights="random",
        text="random",
        text_config=sizes.text,
        text_dropout=0.0,
        tokenizer=f"path:{tokenizer}",
        embedding_dim=sizes.embedding_dim,
        image_size=sizes.image_size,
        max_tokens=tokens,
        **{name: value for name, value in switches.items() if name in known},
    )


def write_tokenizer(path: Path, vocabulary: int) -> None:
    """Write a tokenizer that makes every word one of the first ids: a card's machine has no package with a real one."""
    words = ["[PAD]", "[UNK]", *(f"w{number}" for number in range(vocabulary - 2))]
    model = {"type": "WordLevel", "vocab": {word: number for number, word in enumerate(words)}, "unk_token": "[UNK]"}
    whole = {"version": "1.0", "added_tokens": [], "pre_tokenizer": {"type": "Whitespace"}, "model": model}
    nothing = dict.fromkeys(("truncation", "padding", "normalizer", "post_processor", "decoder"))
    path.write_text(json.dumps({**whole, **nothing}), encoding="utf-8")
