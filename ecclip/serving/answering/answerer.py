"""A bundle that answers without a server: its code, its graphs by onnxruntime, in this process.

Needs what the server's entry model needs, and onnxruntime; the file travels in the bundle.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ecclip.atomic import MANIFEST, sha256_file
from ecclip.formats.bundle import Bundle, lineage_of
from ecclip.serving.answering.entry import entry_of
from ecclip.serving.answering.listings import HEADS, IMAGE_TOWER, TEXT_TOWER, Call, Listings
from ecclip.serving.answering.onnx_graph import Graph


class Answerer:
    """The bundle in a folder, ready to answer; ``threads`` prepare listings, and as many compute a graph.

    Raises:
        BundleError: this process would not answer as the bundle was evaluated.
        ContractError: the bundle has a schema that this code does not know.
        IntegrityError: a part of it cannot be read.
    """

    def __init__(self, folder: Path, threads: int = 1) -> None:
        bundle = Bundle(folder)
        lineage = lineage_of(sha256_file(folder / MANIFEST))
        self._listings = Listings(entry_of(folder, lineage), bundle.tokenizer, bundle.code, _complain)
        self._listings.check(json.loads(bundle.known_question.read_text(encoding="utf-8")))
        if warning := self._listings.unicode_warning():
            _complain(warning)
        graphs = (IMAGE_TOWER, TEXT_TOWER, HEADS)
        self._graphs = {name: Graph(bundle.graph(name), threads) for name in graphs}
        self._pool = ThreadPoolExecutor(threads)

    def answer(self, questions: Sequence[Mapping[str, bytes]]) -> list[tuple[dict[str, Any], str]]:
        """Answer one batch of listings, given by the service's inputs.

        Returns:
            the service's outputs by name of each, and the name of its error in counts, empty where it has none.
            Each listing has the pixels of a whole message to itself, so that none depends on those beside it.
        """
        items = list(self._pool.map(lambda given: self._listings.read(given, self._listings.budget()), questions))
        for calls in (self._listings.text_calls, self._listings.image_calls, self._listings.heads_calls):
            for call in calls(items):
                self._run(call)
        self._listings.decide(items)
        return [(self._listings.outputs(item), item.reason) for item in items]

    def _run(self, call: Call) -> None:
        call.take(self._graphs[call.graph].run(call.feed, call.outputs))


def _complain(text: str) -> None:
    sys.stderr.write(f"{text}\n")
