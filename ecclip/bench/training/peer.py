"""The peer: open_clip's own model, loss and training loop, on towers that are equal to ours weight by weight."""

from __future__ import annotations

import json
import types
from argparse import Namespace
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ecclip.bench.training.ours import Precision
from ecclip.model import Towers
from ecclip.train import Batch, OptimizerConfig

_NAMES = (
    ("image_encoder.tower.", "visual.trunk."),
    ("image_encoder.projection.", "visual.head.proj."),
    ("text_encoder.tower.", "text.transformer."),
    ("text_encoder.projection.", "text.proj."),
    ("logit_scale", "logit_scale"),
)
_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
_LARGEST_DIFFERENCE = 1e-4  # between the embeddings of equal towers in float32; by judgment
_PRECISIONS = {"float32": "fp32", "bfloat16": "amp_bf16"}


class OpenClip:
    """open_clip's training loop, called for one step at a time.

    Args:
        towers: its architecture, weights and frozen parameters are copied; it is not changed.
        optimizer: rates, decay and clipping.
        folder: gets the text encoder's configuration, which open_clip reads from a file.
        precision: of the encoders.
    """

    name = "open_clip"

    def __init__(
        self, towers: Towers, optimizer: OptimizerConfig, folder: Path, precision: Precision = "float32"
    ) -> None:
        import open_clip

        self.towers, self.cfg, self.precision = towers, optimizer, _PRECISIONS[precision]
        device = towers.logit_scale.device
        self.model = open_clip_model(towers, folder).to(device)
        self.loss = open_clip.ClipLoss(cache_labels=True)
        self.optimizer = _adam(self.model, optimizer)

    def use(self, batch: Batch) -> None:
        """Set the batch, its photos normalised: its loader's processes do that, so it is not timed."""
        self.images, self.ids = normalised(self.towers, batch), batch.ids

    def step(self, micro_batches: int) -> None:
        """Take one step with ``--accum-freq`` micro-batches."""
        from open_clip_train.train import train_one_epoch

        loader = _Loader(list(zip(self.images.chunk(micro_batches), self.ids.chunk(micro_batches), strict=True)))
        train_one_epoch(
            self.model,
            {"train": _Data(loader)},
            self.loss,
            0,
            self.optimizer,
            None,
            None,
            None,
            self._arguments(micro_batches),
        )

    def forget(self) -> None:
        """Drop the gradients of the last step."""
        self.optimizer.zero_grad()

    def _arguments(self, micro_batches: int) -> Namespace:
        return Namespace(
            device=str(self.towers.logit_scale.device),
            precision=self.precision,
            accum_freq=micro_batches,
            grad_clip_norm=self.cfg.clip_norm,
            log_every_n_steps=100,
            batch_size=1,
            rank=0,
            world_size=1,
            distill=False,
            horovod=False,
            skip_scheduler=True,
            wandb=False,
        )


@dataclass(frozen=True)
class _Loader:
    """The attributes that its loop reads from a loader."""

    batches: list[tuple[Tensor, Tensor]]

    @property
    def num_batches(self) -> int:
        return len(self.batches)

    @property
    def num_samples(self) -> int:
        return sum(len(images) for images, _ in self.batches)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return iter(self.batches)


@dataclass(frozen=True)
class _Data:
    dataloader: _Loader

    def set_epoch(self, epoch: int) -> None:
        """Do nothing: the batches are given."""


def open_clip_model(towers: Towers, folder: Path) -> nn.Module:
    """Return open_clip's model of our towers: equal weights, equal frozen parameters, proven by equal embeddings.

    Raises:
        RuntimeError: the two models differ.
    """
    import open_clip

    name = "ecclip-towers"
    towers.text_encoder.tower.config.save_pretrained(folder)  # type: ignore[union-attr, operator]
    (folder / f"{name}.json").write_text(json.dumps(_description(towers, folder)), encoding="utf-8")
    open_clip.add_model_config(folder / f"{name}.json")
    model: nn.Module = open_clip.create_model(name, pretrained_text=False, load_weights=False, output_dict=True)
    _take_over(model, towers)
    _freeze_statistics(model)
    _compare(model, towers)
    return model


def normalised(towers: Towers, batch: Batch) -> Tensor:
    """Return the photos as float32, normalised as the towers do it."""
    encoder = towers.image_encoder
    return (batch.pixels.to(encoder.pixel_mean.dtype) - encoder.pixel_mean) / encoder.pixel_std


def _description(towers: Towers, folder: Path) -> dict[str, Any]:
    cfg = towers.cfg
    vision = {
        "timm_model_name": cfg.vision,
        "timm_model_pretrained": False,
        "timm_pool": "",
        "timm_proj": "linear",
        "timm_drop": cfg.vision_dropout,
        "timm_drop_path": cfg.drop_path or None,
        "image_size": cfg.image_size,
    }
    text = {
        "hf_model_name": str(folder),
        "hf_tokenizer_name": str(folder),
        "hf_model_pretrained": False,
        "hf_proj_type": "linear",
        "hf_pooler_type": "mean_pooler",
    }
    return {"embed_dim": cfg.embedding_dim, "vision_cfg": vision, "text_cfg": text}


def _take_over(model: nn.Module, towers: Towers) -> None:
    """Copy weights, statistics and the frozen state."""
    own = {_their_name(name): value for name, value in towers.state_dict().items() if "pixel_" not in name}
    missing, unknown = model.load_state_dict(own, strict=False)
    left = [name for name in missing if "position_ids" not in name]
    if left or unknown:
        raise RuntimeError(f"open_clip's towers differ from ours: {left[:3]} {unknown[:3]}")
    frozen = {_their_name(name): not parameter.requires_grad for name, parameter in towers.named_parameters()}
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(not frozen[name])


def _their_name(name: str) -> str:
    ours, theirs = next(pair for pair in _NAMES if name.startswith(pair[0]))
    return theirs + name.removeprefix(ours)


def _freeze_statistics(model: nn.Module) -> None:
    """Keep batch normalisation in evaluation mode, as our towers do: its loop calls ``train()`` on everything."""
    for module in model.modules():
        if isinstance(module, _BATCH_NORMS):
            module.eval()
            module.train = types.MethodType(_stay, module)  # type: ignore[method-assign]


def _stay(module: nn.Module, _mode: bool = True) -> nn.Module:
    return module


def _compare(model: nn.Module, towers: Towers) -> None:
    training = model.training, towers.training
    model.eval()
    towers.eval()
    cfg = towers.cfg
    chance = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (2, 3, cfg.image_size, cfg.image_size), generator=chance, dtype=torch.uint8)
    ids = torch.randint(1, 100, (2, min(8, cfg.max_tokens)), generator=chance)
    cpu = next(model.parameters()).device
    batch = Batch(pixels, ids, torch.ones_like(ids), torch.arange(2)).to(towers.logit_scale.device)
    with torch.no_grad():
        ours = towers(batch.pixels, batch.ids, batch.mask)
        output: Mapping[str, Tensor] = model(normalised(towers, batch).to(cpu), ids.to(cpu))
    theirs = output["image_features"], output["text_features"]
    worst = max(float((a.cpu() - b.cpu()).abs().max()) for a, b in zip(ours, theirs, strict=True))
    if not worst < _LARGEST_DIFFERENCE:
        raise RuntimeError(f"open_clip's embeddings differ from ours by {worst}, more than {_LARGEST_DIFFERENCE}")
    model.train(training[0])
    towers.train(training[1])


def _adam(model: nn.Module, cfg: OptimizerConfig) -> torch.optim.Optimizer:
    """Return AdamW with open_clip's two groups, fused as ours is."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    vectors, matrices = [p for p in trained if p.ndim < 2], [p for p in trained if p.ndim >= 2]
    groups = [{"params": vectors, "weight_decay": 0.0}, {"params": matrices, "weight_decay": cfg.weight_decay}]
    return torch.optim.AdamW(groups, lr=cfg.tower_learning_rate, betas=(0.9, 0.98), eps=1e-6, fused=True)
