"""Both encoders and the temperature."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ecclip.errors import ModelError
from ecclip.model.config import TowersConfig
from ecclip.model.design import Design
from ecclip.model.starts import Taken, take_over
from ecclip.model.text import TextEncoder, build_text_encoder, read_tokenizer, text_encoder_from_config
from ecclip.model.vision import ImageEncoder, build_image_encoder
from ecclip.product_input import Preprocessor

MAX_LOGIT_SCALE = math.log(100.0)  # of CLIP (Radford et al. 2021, section 2.5)
_INITIAL_LOGIT_SCALE = math.log(1.0 / 0.07)  # of CLIP (Radford et al. 2021, section 2.5): a temperature of 0.07
_SIGMOID_LOGIT_SCALE, _SIGMOID_LOGIT_BIAS = math.log(10.0), -10.0  # of SigLIP (Zhai et al. 2023, section 3)
_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


class Towers(nn.Module):
    """Image encoder, text encoder and the logarithm of the inverse temperature.

    Towers that learn by the pairwise sigmoid loss also have a bias of their logits, see :meth:`add_logit_bias`.
    ``photo_size`` is the side of the photos, pixels, that they embed; training may have seen smaller ones.

    The statistics of batch normalisation stay frozen: an embedding never depends on its neighbours in the batch,
    which exact accumulation needs and which keeps more of the pretraining.
    """

    def __init__(
        self,
        cfg: TowersConfig,
        image_encoder: ImageEncoder,
        text_encoder: TextEncoder,
        tokenizer: str,
        design: Design = Design(),  # noqa: B008 - frozen
    ) -> None:
        super().__init__()
        self.cfg = cfg
        self.design = design
        self.tokenizer = tokenizer
        self.image_encoder = image_encoder
        self.text_encoder = text_encoder
        self.logit_scale = nn.Parameter(torch.tensor(_INITIAL_LOGIT_SCALE))
        self.logit_bias: nn.Parameter | None = None
        self.photo_size = cfg.image_size
        self.train(False)

    def encode_image(self, pixels: Tensor) -> Tensor:
        """Return embeddings [B, d] of length 1 for pixels uint8 [B, 3, S, S]; normalises the pixels itself."""
        embedding: Tensor = self.image_encoder(pixels)
        return embedding

    def encode_text(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Return embeddings [B, d] of length 1 for token ids int64 [B, T] and mask int64 [B, T]."""
        embedding: Tensor = self.text_encoder(ids, mask)
        return embedding

    def forward(self, pixels: Tensor, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return image and text embeddings [B, d] of length 1, see :meth:`encode_image` and :meth:`encode_text`."""
        return self.encode_image(pixels), self.encode_text(ids, mask)

    def add_logit_bias(self) -> None:
        """Give the logits a bias, and both scalars the values that the pairwise sigmoid loss starts from.

        Towers that already have a bias keep their values (Zhai et al. 2023, section 3).
        """
        if self.logit_bias is None:
            self.logit_bias = nn.Parameter(torch.full_like(self.logit_scale, _SIGMOID_LOGIT_BIAS))
            with torch.no_grad():
                self.logit_scale.fill_(_SIGMOID_LOGIT_SCALE)

    def preprocessor(self) -> Preprocessor:
        """Return the preprocessing that belongs to these towers."""
        return Preprocessor(self.photo_size, self.cfg.max_tokens, self.tokenizer, reading=self.design.reading)

    def train(self, mode: bool = True) -> Towers:
        """Switch dropout and stochastic depth; batch normalisation stays in evaluation mode."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, _BATCH_NORMS):
                module.eval()
        return self


def build_towers(cfg: TowersConfig) -> Towers:
    """Return the towers of a configuration in evaluation mode; equal configurations give equal weights.

    Raises:
        ModelError: a package, file or name is missing or does not fit, or a start cannot be taken over exactly.
    """
    if cfg.start is not None:
        return _from_start(take_over(cfg))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(cfg.seed)
        image_encoder = build_image_encoder(cfg)
        text_encoder = build_text_encoder(cfg)
        for encoder in (image_encoder, text_encoder):
            nn.init.normal_(encoder.projection.weight, std=encoder.projection.in_features**-0.5)
    return Towers(cfg, image_encoder, text_encoder, read_tokenizer(cfg.tokenizer or cfg.text))


def _from_start(taken: Taken) -> Towers:
    """Return the towers of a start, with its projections, temperature and bias."""
    with torch.random.fork_rng(devices=[]):
        image = build_image_encoder(taken.cfg, taken.design, weights=False)
        text = text_encoder_from_config(taken.cfg, taken.text_config, taken.design)
    towers = Towers(taken.cfg, image, text, taken.tokenizer, taken.design)
    # a product with the identity is exact; so every start has a projection to train
    projection = torch.eye(image.projection.in_features) if taken.image_projection is None else taken.image_projection
    try:
        image.tower.load_state_dict(taken.image)
        image.projection.load_state_dict({"weight": projection})
        text.tower.load_state_dict(taken.text)
        text.projection.load_state_dict({"weight": taken.text_projection} | _named("bias", taken.text_bias))
    except RuntimeError as error:
        raise ModelError(
            "a start cannot be taken over exactly: its weights are not those of its configuration",
            value=taken.cfg.start,
            limit=str(error)[:300],
            next_step="take another start, or its files anew",
        ) from error
    towers.logit_scale.data.copy_(taken.logit_scale)
    if taken.logit_bias is not None:
        towers.logit_bias = nn.Parameter(taken.logit_bias.clone())
    return towers


def _named(name: str, value: Tensor | None) -> dict[str, Tensor]:
    return {} if value is None else {name: value}
