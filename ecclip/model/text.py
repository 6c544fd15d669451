"""The text encoder: token ids to an embedding."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoConfig, AutoModel
from transformers.utils import logging as transformers_logging

from ecclip.errors import ModelError
from ecclip.model.config import TowersConfig
from ecclip.model.weights import local_folder, package_file, split_source

# Eager attention exports to ONNX as plain matrix products; at 32 tokens it costs nothing measurable.
_ATTENTION = "eager"
_CPU_TEXTS = 16  # encoded at once on a CPU, as the pictures are (`ecclip.model.vision`)
_NOT_PORTABLE = ("_name_or_path", "transformers_version", "dtype", "torch_dtype", "architectures")


class TextEncoder(nn.Module):
    """A transformers encoder, the mean over the tokens that count, a linear projection and the length norm."""

    def __init__(self, tower: nn.Module, width: int, cfg: TowersConfig) -> None:
        super().__init__()
        self.tower = tower
        self.projection = nn.Linear(width, cfg.embedding_dim, bias=False)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Return embeddings [B, d] of length 1 for token ids int64 [B, T] and mask int64 [B, T]."""
        return self._in_parts(self._embed, ids, mask)

    def outputs(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return embeddings [B, d] and the tower's own features [B, width] of one pass, both of length 1."""
        pooled = self._in_parts(self._pool, ids, mask)
        return functional.normalize(self.projection(pooled), dim=-1), functional.normalize(pooled, dim=-1)

    def _in_parts(self, compute: Callable[[Tensor, Tensor], Tensor], ids: Tensor, mask: Tensor) -> Tensor:
        """Compute texts of like length together, without the padding that none of them needs."""
        # nothing may read the batch size while a graph is traced, or it becomes a constant of the graph
        if torch.compiler.is_compiling() or ids.device.type != "cpu" or len(ids) <= _CPU_TEXTS:
            return compute(ids, mask)
        lengths = text_lengths(mask)
        order = lengths.argsort(stable=True)
        parts = [
            compute(ids[rows, :width], mask[rows, :width])
            for rows in order.split(_CPU_TEXTS)
            for width in (int(lengths[rows[-1]]),)
        ]
        return torch.cat(parts)[order.argsort()]

    def _embed(self, ids: Tensor, mask: Tensor) -> Tensor:
        return functional.normalize(self.projection(self._pool(ids, mask)), dim=-1)

    def _pool(self, ids: Tensor, mask: Tensor) -> Tensor:
        hidden = self.tower(input_ids=ids, attention_mask=mask).last_hidden_state
        weight = mask.unsqueeze(-1).to(hidden.dtype)
        pooled: Tensor = (hidden * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=1.0)
        return pooled


def text_lengths(mask: Tensor) -> Tensor:
    """Return the tokens of every text up to its last one that counts, int64 [B], for a mask [B, T]; at least 1."""
    position = torch.arange(1, mask.shape[1] + 1, device=mask.device)
    return (mask.ne(0) * position).amax(dim=1).clamp(min=1)


def build_text_encoder(cfg: TowersConfig) -> TextEncoder:
    """Return the text encoder of a configuration, with its weights."""
    kind, name = split_source(cfg.text)
    if kind == "random":
        return text_encoder_from_config(cfg, dict(cfg.text_config or {}))
    folder = local_folder(cfg.text)
    with _quiet():
        tower = AutoModel.from_pretrained(
            folder or name,
            local_files_only=folder is not None,
            attn_implementation=_ATTENTION,
            dtype=torch.float32,
            **_dropouts(cfg),
        )
    return _wrap(tower, cfg)


def text_encoder_from_config(cfg: TowersConfig, values: Mapping[str, Any]) -> TextEncoder:
    """Return a text encoder of the given transformers configuration with random weights."""
    if "model_type" not in values:
        raise ModelError(
            "text_config has no model_type",
            value=sorted(values),
            limit="such as bert",
            next_step="take text_config from a config.json of transformers",
        )
    with _quiet():
        config = AutoConfig.for_model(**{**values, **_dropouts(cfg)})
        tower = AutoModel.from_config(config, attn_implementation=_ATTENTION, dtype=torch.float32)
    return _wrap(tower, cfg)


def portable_config(encoder: TextEncoder) -> dict[str, Any]:
    """Return the transformers configuration that rebuilds the tower, without paths and versions of this machine."""
    values: dict[str, Any] = encoder.tower.config.to_dict()  # type: ignore[union-attr, operator]
    return {key: value for key, value in sorted(values.items()) if key not in _NOT_PORTABLE}


def tokenizer_text(cfg: TowersConfig) -> str:
    """Return the content of ``tokenizer.json``."""
    source = cfg.tokenizer or cfg.text
    kind, name = split_source(source)
    if kind == "package":
        path = package_file(name, "/tokenizer.json")
    elif kind == "path":
        path = Path(name) if Path(name).is_file() else Path(name) / "tokenizer.json"
    elif kind == "hub":
        from huggingface_hub import hf_hub_download

        path = Path(hf_hub_download(name, "tokenizer.json"))
    else:
        raise ModelError(
            "a tokenizer cannot be random", value=source, next_step="name a package, path or hub as towers.tokenizer"
        )
    if not path.is_file():
        raise ModelError(
            "tokenizer.json is missing",
            value=path,
            next_step="save a tokenizer.json there (tokenizers), or name another source",
        )
    return path.read_text(encoding="utf-8")


def _wrap(tower: Any, cfg: TowersConfig) -> TextEncoder:
    if getattr(tower, "pooler", None) is not None:
        tower.pooler = None  # unused by mean pooling; its parameters would get no gradient
    return TextEncoder(tower, int(tower.config.hidden_size), cfg)


def _dropouts(cfg: TowersConfig) -> dict[str, float]:
    if cfg.text_dropout is None:
        return {}
    return {"hidden_dropout_prob": cfg.text_dropout, "attention_probs_dropout_prob": cfg.text_dropout}


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers' progress bars and load reports out of structured logs."""
    level, bars = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(level)
        if bars:
            transformers_logging.enable_progress_bar()
