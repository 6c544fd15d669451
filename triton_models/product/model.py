"""The entry model: listings in, answers out. Calls both towers in parallel, then the heads, then decides.

Runs in the serving environment: numpy 1.26, Pillow, tokenizers. The version folder holds code/ (the modules that
training and evaluation used: product_input, tasks, the contract of inputs and outputs; and the pure Python libraries
that clean titles), tokenizer.json, entry.json and known.json. Version N calls version N of the towers and heads, by the
names that entry.json has for their models. A bad listing gets an ERROR of its own and does not affect its batch.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import importlib
import importlib.util
import json
import sys
import time
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils
from entry_metrics import EntryMetrics

IMAGE_ONLY, TEXT_ONLY, BOTH = 0, 1, 2  # order of the heads' matrices
LINES_PER_SECOND, ID_CHARACTERS = 20, 64  # of the log about requests, by judgment


@dataclass
class Item:
    """One listing in progress: its inputs, intermediate results and answer."""

    image: np.ndarray | None = None
    text: tuple[np.ndarray, np.ndarray] | None = None
    query: Any = None
    from_image: list[np.ndarray] | None = None  # embedding, and the tower's features where heads read them
    from_text: list[np.ndarray] | None = None
    answer: Any = None
    error: str = ""
    reason: str = ""  # of the error, as the metrics name it

    def fail(self, reason: str, error: str) -> None:
        """Give up on the listing; ``error`` is shown to the client."""
        self.reason, self.error = reason, error

    @property
    def modality(self) -> int:
        """Index in the heads' order: image, text, both."""
        return (
            BOTH
            if self.image is not None and self.text is not None
            else TEXT_ONLY
            if self.image is None
            else IMAGE_ONLY
        )


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
        sys.path[:0] = [str(folder / "code"), str(folder / "code" / "libraries.zip")]
        self._inputs = importlib.import_module("ecclip.product_input")
        self._service = importlib.import_module("ecclip.formats.service")
        self._query = importlib.import_module("ecclip.tasks.kinds.task").Query
        decision = importlib.import_module("ecclip.tasks.decision")
        tasks = [_load(path).TASK for path in sorted((folder / "code" / "tasks").glob("*.py"))]
        self._check_codecs(entry["product_input"]["codecs"])
        self._compare_unicode(entry["product_input"].get("unicode"))
        canonical = self._inputs.canonical_of(entry["product_input"])
        self._preprocessor = self._inputs.Preprocessor(
            entry["image_size"], entry["max_tokens"], folder / "tokenizer.json", canonical
        )
        self._decider = decision.Decider(entry["heads"], tasks, entry["top_k"])
        self._modalities = list(entry["heads"]["modalities"])
        self._widths = [int(width) for width in entry["heads"]["widths"]]
        features = sum(self._widths) > 2 * int(entry["heads"]["dim"])
        self._tower_outputs = ["embedding", "features"] if features else ["embedding"]
        self._image_bytes, self._text_bytes = int(entry["image_bytes"]), int(entry["text_bytes"])
        self._lineage = entry["lineage"]
        self._models = entry["models"]
        self._check(json.loads((folder / "known.json").read_text(encoding="utf-8")))
        self._task_of = {head["name"]: head["task"] for head in entry["heads"]["heads"]}
        self._log = RequestLog()
        self._metrics = EntryMetrics(args["model_name"], args["model_version"])

    def finalize(self) -> None:
        """Hand over the last counts before the process ends."""
        self._metrics.close()

    async def execute(self, requests: list[Any]) -> list[Any]:
        """Answer every request; the listings of all requests go through towers and heads together."""
        with self._metrics.timed("preprocess"):
            batches = [self._items(request) for request in requests]
        items = [item for batch in batches for item in batch]
        with self._metrics.timed("towers"):
            await self._embed([item for item in items if not item.error])
        with self._metrics.timed("heads"):
            await self._ask_heads([item for item in items if not item.error])
        with self._metrics.timed("decide"):
            self._decide([item for item in items if not item.error])
        with self._metrics.timed("respond"):
            responses = [self._response(batch) for batch in batches]
        self._count(items)
        for request, batch in zip(requests, batches, strict=True):
            self._log.note(request.request_id(), batch)
        return responses

    def _count(self, items: list[Item]) -> None:
        self._metrics.add("ecclip_batches_total")
        self._metrics.add("ecclip_listings_total", value=len(items))
        for item in items:
            if item.error:
                self._metrics.add("ecclip_errors_total", item.reason)
                continue
            for head, decision in item.answer["DECISION"].items():
                self._metrics.add("ecclip_decisions_total", self._task_of.get(head, head), decision)

    def _items(self, request: Any) -> list[Item]:
        given = {one.name: pb_utils.get_input_tensor_by_name(request, one.name) for one in self._service.INPUTS}
        columns = {name: tensor.as_numpy().reshape(-1) for name, tensor in given.items() if tensor is not None}
        # per message: the others in the batch have their own
        budget = self._inputs.PixelBudget(self._preprocessor.canonical.message_pixels)
        return [
            self._item(dict(zip(columns, map(bytes, row), strict=True)), budget)
            for row in zip(*columns.values(), strict=True)
        ]

    def _item(self, given: dict[str, bytes], budget: Any) -> Item:
        image, title = given["IMAGE"], given["TITLE"]
        try:
            written = self._text("title", title)
            description = self._text("description", given.get("DESCRIPTION", b""))
            query = self._query(
                None if written is None else self._inputs.title_text(written),
                None if description is None else self._inputs.description_text(description),
            )
            tokens = None if written is None else self._preprocessor.title(written)
            if not image and not title.strip(b"\0 \t\r\n"):
                raise ListingError("nothing", "neither an image nor a title is given")
            return Item(self._pixels(image, budget), tokens, query)
        except (self._inputs.PreprocessingError, ListingError) as error:
            return Item(error=str(error), reason=error.reason)
        except Exception as error:  # noqa: BLE001 - an unforeseen error must affect this listing alone
            pb_utils.Logger.log_error(f"preprocessing failed: {type(error).__name__}")
            return Item(error="the listing cannot be preprocessed", reason="unforeseen")

    def _pixels(self, image: bytes, budget: Any) -> np.ndarray | None:
        if not image:
            return None
        if len(image) > self._image_bytes:
            raise ListingError("too_large", f"the image has {len(image)} bytes; limit: {self._image_bytes}")
        return np.asarray(self._preprocessor.image(image, budget))

    def _text(self, what: str, data: bytes) -> str | None:
        if len(data) > self._text_bytes:
            raise ListingError("too_long", f"the {what} has {len(data)} bytes; limit: {self._text_bytes}")
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise ListingError("not_utf8", f"the {what} is not UTF-8") from error
        return text if text.strip("\0 \t\r\n") else None

    async def _embed(self, items: list[Item]) -> None:
        with_image = [item for item in items if item.image is not None]
        with_text = [item for item in items if item.text is not None]
        calls = []
        if with_image:
            calls.append(self._ask("image_tower", with_image, "from_image", {"pixels": [i.image for i in with_image]}))
        if with_text:
            ids, mask = zip(*(item.text for item in with_text), strict=True)
            calls.append(self._ask("text_tower", with_text, "from_text", {"ids": ids, "mask": mask}))
        await asyncio.gather(*calls)

    async def _ask_heads(self, items: list[Item]) -> None:
        if not items:
            return
        absent = [[np.zeros(width, np.float32)] for width in self._widths]
        feed = {
            "image_embedding": [np.concatenate(item.from_image or absent[0]) for item in items],
            "text_embedding": [np.concatenate(item.from_text or absent[1]) for item in items],
            "modality": [np.array([item.modality], np.int64) for item in items],
        }
        await self._ask("heads", items, "answer", feed)

    def _decide(self, items: list[Item]) -> None:
        for item in items:
            try:
                item.answer = self._decider.answer(item.answer[0], self._modalities[item.modality], item.query)
            except ValueError as error:
                item.fail("no_decision", f"no decision: {error}")

    async def _ask(self, model: str, items: list[Item], field: str, feed: dict[str, Any]) -> None:
        """Call a graph of the same version and put its rows, one per output, into ``field`` of the items."""
        outputs = ["logits"] if model == "heads" else self._tower_outputs
        request = pb_utils.InferenceRequest(
            model_name=self._models[model],
            model_version=self._version,
            requested_output_names=outputs,
            inputs=[pb_utils.Tensor(name, np.stack(rows)) for name, rows in feed.items()],
        )
        response = await request.async_exec()
        if response.has_error():
            pb_utils.Logger.log_error(f"{model} version {self._version}: {response.error().message()}")
            for item in items:
                item.fail(model, f"the model {model} did not answer")
            return
        found = {one.name(): one.as_numpy() for one in response.output_tensors()}
        for item, *rows in zip(items, *(found[name] for name in outputs), strict=True):
            setattr(item, field, rows)

    def _response(self, items: list[Item]) -> Any:
        rows = [self._row(item) for item in items]
        columns = [
            pb_utils.Tensor(one.name, self._service.encode(one, [row.get(one.name) for row in rows]))
            for one in self._service.OUTPUTS
        ]
        return pb_utils.InferenceResponse(output_tensors=columns)

    def _row(self, item: Item) -> dict[str, Any]:
        """Return the outputs of one listing by name; with an error there are no others but the lineage."""
        answer = {} if item.error else item.answer | {"EMBEDDING": _together(item)}
        return answer | {"LINEAGE": self._lineage, "ERROR": item.error}

    def _check_codecs(self, made_with: dict[str, str]) -> None:
        found = self._inputs.codec_versions()
        if found != made_with:
            raise pb_utils.TritonModelException(
                f"the photos of this bundle were made with {made_with}, this server has {found}; "
                "give it the Pillow of requirements/serving.txt, or train with this one"
            )

    def _compare_unicode(self, made_with: str | None) -> None:
        """Say where the tables of both Pythons differ: characters that are new in one of them may be read otherwise."""
        found = unicodedata.unidata_version
        if made_with is not None and found != made_with:
            pb_utils.Logger.log_warn(
                f"the titles of this bundle were cleaned by Unicode {made_with}, this server has Unicode {found}: "
                "characters that only the newer one knows may be read otherwise; for equal tables run both "
                "environments on one version of Python"
            )

    def _check(self, known: dict[str, Any]) -> None:
        pixels = np.ascontiguousarray(self._preprocessor.image(base64.b64decode(known["image"])))
        ids, mask = self._preprocessor.title(known["title"])
        logits = np.array(known["logits"], np.float32)
        found = {
            "pixels": hashlib.sha256(pixels.tobytes()).hexdigest(),
            "ids": [int(one) for one in ids],
            "mask": [int(one) for one in mask],
            "answer": json.loads(json.dumps(self._decider.answer(logits, known["modality"]))),
        }
        for name, value in found.items():
            if value != known[name]:
                raise pb_utils.TritonModelException(f"{name} of a known listing differ from those of training")


class ListingError(ValueError):
    """A listing that cannot be answered; the text is shown to the client, ``reason`` is its name in the metrics."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class RequestLog:
    """Says in the server's log which requests had listings that were not answered, by the id that their client gave."""

    def __init__(self) -> None:
        self._since, self._written = 0.0, 0

    def note(self, request_id: str, items: list[Item]) -> None:
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


def _together(item: Item) -> np.ndarray:
    """Return the listing's embedding [d]: that of its image or title, or the normalised sum of both."""
    given = [one[0] for one in (item.from_image, item.from_text) if one is not None]
    total = np.sum(given, axis=0, dtype=np.float32)
    return total / max(float(np.linalg.norm(total)), 1e-12)


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"ecclip_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise pb_utils.TritonModelException(f"{path.name} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module
