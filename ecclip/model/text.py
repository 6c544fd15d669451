"""The text encoder: token ids to an embedding."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoConfig, AutoModel, SiglipTextModel
from transformers.utils import logging as transformers_logging

from ecclip.errors import ModelError
from ecclip.model.config import TowersConfig
from ecclip.model.design import Design, Pooling
from ecclip.model.weights import local_folder, package_file, split_source

# Eager attention exports to ONNX as plain matrix products; at 32 tokens it costs nothing measurable.
_ATTENTION = "eager"
_CPU_TEXTS = 16  # encoded at once on a CPU, as the pictures are (`ecclip.model.vision`)
_NOT_PORTABLE = ("_name_or_path", "transformers_version", "dtype", "torch_dtype", "architectures")
_CLIP, _SIGLIP = "clip_text_model", "siglip_text_model"


class TextEncoder(nn.Module):
    """A transformers encoder, a pooling over its tokens, a linear projection and the length norm.

    Pooled is the mean over the tokens that count, or the last of them. CLIP's tower reads from left to right, so that
    its last token has read them all; SigLIP's reads without a mask what a text is filled up with, too.
    """

    def __init__(
        self, tower: nn.Module, width: int, cfg: TowersConfig, *, pooling: Pooling = "mean", bias: bool = False
    ) -> None:
        super().__init__()
        self.tower = tower
        self.pooling = pooling
        self.projection = nn.Linear(width, cfg.embedding_dim, bias=bias)
        kind = str(getattr(getattr(tower, "config", None), "model_type", ""))
        self._attention: Callable[[Tensor], Tensor | None] = {_CLIP: _leftward, _SIGLIP: _everywhere}.get(kind, _given)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Return embeddings [B, d] of length 1 for token ids int64 [B, T] and mask int64 [B, T]."""
        return self._in_parts(self._embed, ids, mask)

    def outputs(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return embeddings [B, d] and the tower's own features [B, width] of one pass, both of length 1."""
        pooled = self.features(ids, mask)
        return functional.normalize(self.projection(pooled), dim=-1), functional.normalize(pooled, dim=-1)

    def features(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Return what the tower gives before the projection, [B, width], see :meth:`forward`."""
        return self._in_parts(self._pool, ids, mask)

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
        hidden = self.tower(input_ids=ids, attention_mask=self._attention(mask)).last_hidden_state
        if self.pooling == "last":
            last = (text_lengths(mask) - 1)[:, None, None].expand(-1, 1, hidden.shape[-1])
            taken: Tensor = hidden.gather(1, last).squeeze(1)
            return taken
        weight = mask.unsqueeze(-1).to(hidden.dtype)
        pooled: Tensor = (hidden * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=1.0)
        return pooled


def text_lengths(mask: Tensor) -> Tensor:
    """Return the tokens of every text up to its last one that counts, int64 [B], for a mask [B, T]; at least 1."""
    position = torch.arange(1, mask.shape[1] + 1, device=mask.device)
    return (mask.ne(0) * position).amax(dim=1).clamp(min=1)


def _given(mask: Tensor) -> Tensor | None:
    return mask


def _everywhere(_: Tensor) -> Tensor | None:
    return None


def _leftward(mask: Tensor) -> Tensor | None:
    """Return what is added to the attention, float32 [1, 1, T, T]: a token reads itself and those to its left.

    What fills up a text lies to the right of all that counts, and so is read by nothing that is pooled.
    """
    tokens = mask.shape[1]
    closed = torch.full((tokens, tokens), torch.finfo(torch.float32).min, device=mask.device)
    return closed.triu(1)[None, None]


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
            **_dropouts(cfg, None),
        )
    return _wrap(tower, cfg, Design())


def text_encoder_from_config(
    cfg: TowersConfig,
    values: Mapping[str, Any],
    design: Design = Design(),  # noqa: B008 - frozen
) -> TextEncoder:
    """Return a text encoder of the given transformers configuration with random weights."""
    if "model_type" not in values:
        raise ModelError(
            "text_config has no model_type",
            value=sorted(values),
            limit="such as bert",
            next_step="take text_config from a config.json of transformers",
        )
    with _quiet():
        config = AutoConfig.for_model(**{**values, **_dropouts(cfg, values["model_type"])})
        if values["model_type"] == _SIGLIP:  # AutoModel does not know it alone
            tower: Any = SiglipTextModel._from_config(config, attn_implementation=_ATTENTION, dtype=torch.float32)
        else:
            tower = AutoModel.from_config(config, attn_implementation=_ATTENTION, dtype=torch.float32)
    return _wrap(tower, cfg, design)


def portable_config(encoder: TextEncoder) -> dict[str, Any]:
    """Return the transformers configuration that rebuilds the tower, without paths and versions of this machine."""
    values: dict[str, Any] = encoder.tower.config.to_dict()  # type: ignore[union-attr, operator]
    return {key: value for key, value in sorted(values.items()) if key not in _NOT_PORTABLE}


def read_tokenizer(source: str) -> str:
    """Return the content of the ``tokenizer.json`` of a source: ``package:``, ``path:`` or ``hub:``."""
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


def _wrap(tower: Any, cfg: TowersConfig, design: Design) -> TextEncoder:
    if getattr(tower, "pooler", None) is not None:
        tower.pooler = None  # unused by mean pooling; its parameters would get no gradient
    if isinstance(tower, SiglipTextModel):
        tower.head = nn.Identity()  # type: ignore[assignment]  # it is our projection
    width = int(tower.config.hidden_size)
    return TextEncoder(tower, width, cfg, pooling=design.pooling, bias=design.text_bias)


def _dropouts(cfg: TowersConfig, kind: str | None) -> dict[str, float]:
    if cfg.text_dropout is None:
        return {}
    if kind in (_CLIP, _SIGLIP):  # they have no other
        return {"attention_dropout": cfg.text_dropout}
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
