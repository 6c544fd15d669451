"""A bundle answered by onnxruntime in this process: what both peers of the server do for each listing."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from ecclip.client import Product
from ecclip.formats.bundle import Bundle
from ecclip.product_input import Preprocessor, read_canonical, title_text
from ecclip.tasks.decision import Decider
from ecclip.tasks.kinds import TASKS, Query

_BOTH = 2  # the place of "both" in the heads' modalities
WORKERS = len(os.sched_getaffinity(0))  # of each peer: one process per core


class OnnxBundle:
    """Preprocessing, graphs and decision of a bundle, for listings with photo and title.

    ``threads`` are those of each graph, None as many as onnxruntime takes by itself, with all of its defaults.
    """

    def __init__(self, folder: Path, threads: int | None = None) -> None:
        bundle, described = Bundle(folder), Bundle(folder).description()
        heads = bundle.described_heads()
        self._preprocessor = Preprocessor.described(described, bundle.tokenizer, read_canonical(folder))
        self._decider = Decider(heads, TASKS, described["top_k"])
        self._outputs = (
            2 if sum(heads["widths"]) > 2 * heads["dim"] else 1
        )  # embedding, and features if heads read them
        self._image, self._text, self._heads = (
            _session(bundle.graph(name), threads) for name in ("image_tower", "text_tower", "heads")
        )

    def ask(self, products: Sequence[Product]) -> list[dict[str, Any]]:
        """Return the answers, as the service's outputs by name, of listings that go through the graphs together."""
        pixels = np.stack([self._preprocessor.image(one.image or b"") for one in products])
        ids, mask = self._preprocessor.tokens([title_text(one.title or "") for one in products], pad_to_longest=True)
        image = self._image.run(None, {"pixels": pixels})[: self._outputs]
        text = self._text.run(None, {"ids": ids, "mask": mask})[: self._outputs]
        feed = {
            "image_embedding": np.concatenate(image, axis=1),
            "text_embedding": np.concatenate(text, axis=1),
            "modality": np.full(len(products), _BOTH, np.int64),
        }
        logits = self._heads.run(["logits"], feed)[0]
        embeddings = image[0] + text[0]
        embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
        queries = [Query(title_text(one.title or ""), None) for one in products]
        answers = [self._decider.answer(row, "both", query) for row, query in zip(logits, queries, strict=True)]
        return [answer | {"EMBEDDING": one.tolist()} for answer, one in zip(answers, embeddings, strict=True)]


def _session(graph: Path, threads: int | None) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    if threads is not None:  # as the server has it
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
