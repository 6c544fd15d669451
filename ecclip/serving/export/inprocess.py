"""Answers without a server: torch, heads and decision in this process, as the reference for the server."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ecclip.client import Answer, Product
from ecclip.product_input import CanonicalPhoto

if TYPE_CHECKING:
    from torch import Tensor

    from ecclip.tasks.kinds import Query

    _Graph = Callable[..., tuple[Tensor, Tensor]]

MODALITY_ORDER = ("image", "text", "both")


class InProcess:
    """Towers and heads of two folders, queried one listing at a time; ``canonical`` is the form of their photos."""

    def __init__(
        self,
        towers: Path,
        heads: Path,
        top_k: int,
        canonical: CanonicalPhoto = CanonicalPhoto(),  # noqa: B008 - frozen
    ) -> None:
        from ecclip.model import load_preprocessor, load_towers
        from ecclip.tasks import load_heads
        from ecclip.tasks.decision import Decider
        from ecclip.tasks.kinds import TASKS

        self.towers = load_towers(towers).float()
        self._image: _Graph = self.towers.image_encoder.outputs
        self._text: _Graph = self.towers.text_encoder.outputs
        self.preprocessor = load_preprocessor(towers, canonical)
        self.heads = load_heads(heads)
        self.decider = Decider(self.heads.describe(), TASKS, top_k)

    def with_towers(self, image: _Graph, text: _Graph) -> InProcess:
        """Return the same preprocessing, heads and decision with other towers: what gives embedding and features."""
        other = copy.copy(self)
        other._image, other._text = image, text
        return other

    def inputs(self, product: Product) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Return what the heads read of photo and title, float32 [1, i] and [1, t] or None: the embeddings first.

        Raises:
            PreprocessingError: the image cannot be used.
        """
        import torch

        image = text = None
        with torch.inference_mode():
            if product.image is not None:
                pixels = torch.from_numpy(self.preprocessor.image(product.image))[None]
                image = self._read(self._image(pixels))
            if product.title is not None:
                ids, mask = (torch.from_numpy(one)[None] for one in self.preprocessor.title(product.title))
                text = self._read(self._text(ids, mask))
        return image, text

    def _read(self, outputs: tuple[Tensor, Tensor]) -> np.ndarray:
        return np.concatenate([one.numpy() for one in outputs[: 2 if self.heads.read_features else 1]], axis=1)

    def logits(self, image: np.ndarray | None, text: np.ndarray | None) -> tuple[np.ndarray, str]:
        """Return logits [C] of one listing and the modality that they belong to."""
        modality = "both" if image is not None and text is not None else "text" if image is None else "image"
        return self.heads.logits(image, text, modality)[0], modality

    def query(self, product: Product) -> Query:
        """Return the texts of one listing as tasks read them."""
        from ecclip.product_input import description_text, title_text
        from ecclip.tasks.kinds import Query

        return Query(
            None if product.title is None else title_text(product.title),
            None if product.description is None else description_text(product.description),
            product.language,
        )

    def ask(self, product: Product) -> Answer:
        """Return the answer of one listing; ``lineage`` stays empty."""
        from ecclip.product_input import PreprocessingError

        try:
            image, text = self.inputs(product)
        except PreprocessingError as error:
            return Answer(error=str(error))
        logits, modality = self.logits(image, text)
        outputs = self.decider.answer(logits, modality, self.query(product))
        given = [one[0, : self.heads.dim] for one in (image, text) if one is not None]
        total: np.ndarray = given[0] if len(given) == 1 else given[0] + given[1]
        total = total / max(float(np.linalg.norm(total)), 1e-12)
        return Answer.from_outputs(outputs | {"EMBEDDING": total})
