"""The entry model: listings in, answers out. Reads them, calls both towers in parallel, runs the heads, decides.

Runs in the serving environment: numpy 1.26, onnxruntime, Pillow, tokenizers. The version folder holds code/ (the
modules that training and evaluation used: product_input, tasks, what reads and decides a listing, what runs a graph,
the contract of inputs and outputs; and the pure Python libraries that clean titles), tokenizer.json, entry.json,
known.json and the heads (heads.onnx, known_heads.npz). Version N calls version N of the towers, by the names that
entry.json has for their models. What is here is Triton's part.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils
from entry_metrics import EntryMetrics

LINES_PER_SECOND, ID_CHARACTERS = 20, 64  # of the log about requests, by judgment


class TritonPythonModel:
    """The model that clients call, as ``product`` (live) and as ``candidate`` (under examination)."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load preprocessing and decision, and run their known-answer test."""
        if int(np.__version__.split(".")[0]) >= 2:
            # this backend misreads arrays of numpy 2 without an error
            raise pb_utils.TritonModelException(f"the serving environment needs numpy < 2, not {np.__version__}")
        folder = Path(args["model_repository"]) / args["model_version"]
        self._version = int(args["model_version"])
        entry = json.loads((folder / "entry.json").read_text(encoding="utf-8"))
        # this process serves this version alone
        sys.path[:0] = [str(folder / "code"), *map(str, (folder / "code").glob("*.zip"))]
        self._service = importlib.import_module("ecclip.formats.service")
        module = importlib.import_module("ecclip.serving.answering.listings")
        self._models = entry["models"]
        graphs = importlib.import_module("ecclip.serving.answering.onnx_graph")
        # a message to a model of their own would take longer than they do
        self._heads = graphs.Graph(folder / "heads.onnx", 1)
        difference = self._heads.difference(np.load(folder / "known_heads.npz"))
        if not difference <= graphs.KNOWN_TOLERANCE:
            raise pb_utils.TritonModelException(f"the heads answer a known question wrongly: off by {difference:.3g}")
        try:
            self._listings = module.Listings(
                entry, folder / "tokenizer.json", folder / "code", pb_utils.Logger.log_error
            )
            self._listings.check(json.loads((folder / "known.json").read_text(encoding="utf-8")))
        except module.BundleError as error:
            raise pb_utils.TritonModelException(str(error)) from error
        if warning := self._listings.unicode_warning():
            pb_utils.Logger.log_warn(warning)
        self._task_of = {head["name"]: head["task"] for head in entry["heads"]["heads"]}
        self._log = RequestLog()
        self._metrics = EntryMetrics(args["model_name"], args["model_version"])

    def finalize(self) -> None:
        """Hand over the last counts before the process ends."""
        self._metrics.close()

    async def execute(self, requests: list[Any]) -> list[Any]:
        """Answer every request; the listings of all requests go through towers and heads together.

        The text tower computes while photos are read.
        """
        with self._metrics.timed("preprocess"):
            batches = [self._items(request) for request in requests]
            items = [item for batch in batches for item in batch]
            titles = self._begin(self._listings.text_calls(items))
            await asyncio.sleep(0)  # lets the question go
            for batch in batches:
                budget = self._listings.budget()  # per message: the others in the batch have their own
                for item in batch:
                    self._listings.read_photo(item, budget)
        with self._metrics.timed("towers"):
            await asyncio.gather(*titles, *self._begin(self._listings.image_calls(items)))
        with self._metrics.timed("heads"):
            for call in self._listings.heads_calls(items):
                self._answer(call)
        with self._metrics.timed("decide"):
            self._listings.decide(items)
        with self._metrics.timed("respond"):
            responses = [self._response(batch) for batch in batches]
        self._count(items)
        for request, batch in zip(requests, batches, strict=True):
            self._log.note(request.request_id(), batch)
        return responses

    def _count(self, items: list[Any]) -> None:
        self._metrics.add("ecclip_batches_total")
        self._metrics.add("ecclip_listings_total", value=len(items))
        for item in items:
            if item.error:
                self._metrics.add("ecclip_errors_total", item.reason)
                continue
            for head, decision in item.answer["DECISION"].items():
                self._metrics.add("ecclip_decisions_total", self._task_of.get(head, head), decision)

    def _items(self, request: Any) -> list[Any]:
        given = {one.name: pb_utils.get_input_tensor_by_name(request, one.name) for one in self._service.INPUTS}
        columns = {name: tensor.as_numpy().reshape(-1) for name, tensor in given.items() if tensor is not None}
        return [
            self._listings.read_texts(dict(zip(columns, map(bytes, row), strict=True)))
            for row in zip(*columns.values(), strict=True)
        ]

    def _begin(self, calls: list[Any]) -> list[asyncio.Task[None]]:
        return [asyncio.create_task(self._ask(call)) for call in calls]

    async def _ask(self, call: Any) -> None:
        """Call a graph of the same version and hand its rows to the items."""
        request = pb_utils.InferenceRequest(
            model_name=self._models[call.graph],
            model_version=self._version,
            requested_output_names=call.outputs,
            # one number per listing has dims [1] on the server
            inputs=[
                pb_utils.Tensor(name, rows.reshape(len(rows), *(rows.shape[1:] or (1,))))
                for name, rows in call.feed.items()
            ],
        )
        response = await request.async_exec()
        if response.has_error():
            pb_utils.Logger.log_error(f"{call.graph} version {self._version}: {response.error().message()}")
            call.fail()
            return
        call.take({one.name(): one.as_numpy() for one in response.output_tensors()})

    def _answer(self, call: Any) -> None:
        """Run the heads, and hand their rows to the items."""
        try:
            call.take(self._heads.run(call.feed, call.outputs))
        except Exception as error:  # noqa: BLE001 - onnxruntime's are of no common kind; the listings get it
            pb_utils.Logger.log_error(f"{call.graph} version {self._version}: {error}")
            call.fail()

    def _response(self, items: list[Any]) -> Any:
        rows = [self._listings.outputs(item) for item in items]
        columns = [
            pb_utils.Tensor(one.name, self._service.encode(one, [row.get(one.name) for row in rows]))
            for one in self._service.OUTPUTS
        ]
        return pb_utils.InferenceResponse(output_tensors=columns)


class RequestLog:
    """Says in the server's log which requests had listings that were not answered, by the id that their client gave."""

    def __init__(self) -> None:
        self._since, self._written = 0.0, 0

    def note(self, request_id: str, items: list[Any]) -> None:
        """Write one line about a request with errors; a flood of them is cut off within each second."""
        failed = [item for item in items if item.error]
        if not failed:
            return
        if time.monotonic() - self._since >= 1.0:
            self._since, self._written = time.monotonic(), 0
        self._written += 1
        if self._written <= LINES_PER_SECOND:
            reasons = ", ".join(sorted({item.reason for item in failed}))
            # what a client wrote must not look like other lines, or steer a terminal
            known = "".join(one if " " < one <= "~" else "?" for one in request_id[:ID_CHARACTERS]) or "-"
            pb_utils.Logger.log_warn(f"request {known}: {len(failed)} of {len(items)} listings have errors: {reasons}")
