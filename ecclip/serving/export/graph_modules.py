"""Towers and heads as the modules that are exported: in float32, and towers with half-precision products."""

from __future__ import annotations

import contextlib
import copy
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from ecclip.formats.bundle import Precision
from ecclip.serving.export.inprocess import MODALITY_ORDER, InProcess

if TYPE_CHECKING:
    from ecclip.model import Towers

_DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
_PRODUCTS = {
    functional.linear, functional.conv1d, functional.conv2d, functional.conv3d, functional.embedding,
    torch.matmul, torch.bmm, torch.addmm, torch.baddbmm, Tensor.matmul, Tensor.__matmul__,
}  # fmt: skip
# what divides by a sum, or sums many values: half precision overflows there, or loses the small ones
_DELICATE = {
    functional.softmax, torch.softmax, Tensor.softmax,
    functional.layer_norm, functional.batch_norm, functional.group_norm, functional.rms_norm, functional.instance_norm,
    functional.normalize, torch.linalg.vector_norm, torch.norm, Tensor.norm,
    torch.mean, Tensor.mean, torch.sum, Tensor.sum, functional.adaptive_avg_pool2d, functional.avg_pool2d,
}  # fmt: skip
_WITH_WEIGHTS = (nn.Linear, nn.Embedding, nn.Conv1d, nn.Conv2d, nn.Conv3d)


class _TowerGraph(nn.Module):
    """An encoder, asked for embedding and features of length 1 in one pass, in a precision.

    In half precision weights of linear layers, convolutions and embeddings are kept as halves and products of matrices
    are computed of halves; normalisation, softmax, sums and the scaling to length 1 are computed in float32, with the
    casts in the graph. So strongly typed TensorRT computes what torch computes here.
    """

    def __init__(self, encoder: nn.Module, precision: Precision) -> None:
        super().__init__()
        self.dtype = _DTYPES[precision]
        self.encoder: Any = encoder if precision == "float32" else copy.deepcopy(encoder)
        for module in self.encoder.modules():
            if isinstance(module, _WITH_WEIGHTS):
                module.to(self.dtype)

    def _outputs(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        with contextlib.nullcontext() if self.dtype == torch.float32 else _HalfProducts(self.dtype):
            embedding, features = self.encoder.outputs(*inputs)
        return embedding.float(), features.float()


class ImageGraph(_TowerGraph):
    """Pixels uint8 [B, 3, S, S] to embeddings [B, d] and features [B, width], float32."""

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Return embedding and features."""
        return self._outputs(pixels)


class TextGraph(_TowerGraph):
    """Token ids and mask int64 [B, T] to embeddings [B, d] and features [B, width], float32."""

    def forward(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return embedding and features."""
        return self._outputs(ids, mask)


class _HalfProducts(TorchFunctionMode):
    """Casts what goes into a function of torch: to ``dtype`` for products, to float32 for what is delicate."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is functional.scaled_dot_product_attention:
            return self._attention(*args, **kwargs)
        dtype = self.dtype if func in _PRODUCTS else torch.float32 if func in _DELICATE else None
        if dtype is not None:
            args = tuple(_cast(one, dtype) for one in args)
            kwargs = {name: _cast(one, dtype) for name, one in kwargs.items()}
        return func(*args, **kwargs)

    def _attention(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> Tensor:
        """Return scaled dot-product attention with its softmax in float32 (Vaswani et al. 2017, section 3.2.1)."""
        if is_causal or enable_gqa or (attn_mask is not None and attn_mask.dtype == torch.bool):
            query, key, value = (_cast(one, torch.float32) for one in (query, key, value))
            return functional.scaled_dot_product_attention(
                query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa
            )
        factor = query.shape[-1] ** -0.5 if scale is None else scale
        query, key, value = (_cast(one, self.dtype) for one in (query, key, value))
        scores = torch.matmul(query * factor, key.transpose(-2, -1)).float()
        weights = functional.softmax(scores if attn_mask is None else scores + attn_mask, dim=-1)
        return torch.matmul(weights.to(self.dtype), value)


def tower_graphs(towers: Towers, precision: Precision = "float32") -> tuple[ImageGraph, TextGraph]:
    """Return both towers as modules to export; in half precision they have weights of their own."""
    return ImageGraph(towers.image_encoder, precision), TextGraph(towers.text_encoder, precision)


def heads_graph(twin: InProcess) -> nn.Module:
    """Return the heads as a module to export, float32 in every precision: one product per listing.

    Where thousands of labels are told apart on some hundred axes, the matrices are products of two that are smaller.
    """
    weight, bias = (torch.from_numpy(one.copy()) for one in (twin.heads.weight, twin.heads.bias))
    factors = twin.heads.factors()
    if factors is not None:
        down, up = (torch.from_numpy(one) for one in factors)
        return _low_rank_heads(down, up, bias)

    class HeadsGraph(nn.Module):
        """All three modalities' logits, of which each row takes its own."""

        def forward(self, image: Tensor, text: Tensor, modality: Tensor) -> Tensor:
            rows = torch.cat([image, text], dim=-1)
            logits = torch.einsum("bf,mfc->bmc", rows, weight) + bias
            own = (modality[:, None] == torch.arange(len(MODALITY_ORDER))).to(logits.dtype)
            return (logits * own[:, :, None]).sum(dim=1)

    return HeadsGraph()


def _low_rank_heads(left: Tensor, right: Tensor, bias: Tensor) -> nn.Module:
    class LowRankHeads(nn.Module):
        """Each row by its own modality's axes; the labels' weights on them are one matrix for all modalities."""

        def forward(self, image: Tensor, text: Tensor, modality: Tensor) -> Tensor:
            rows = torch.cat([image, text], dim=-1)
            own = (modality[:, None] == torch.arange(len(MODALITY_ORDER))).to(rows.dtype)
            turned = (torch.einsum("bf,mfr->bmr", rows, left) * own[:, :, None]).sum(dim=1)
            return turned @ right + own @ bias

    return LowRankHeads()


def _cast(value: Any, dtype: torch.dtype) -> Any:
    return value.to(dtype) if isinstance(value, Tensor) and value.is_floating_point() else value
