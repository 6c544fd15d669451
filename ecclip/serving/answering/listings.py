"""Listings before and after the graphs: read, put into batches, decided. The one definition of it.

Shared by the entry model of the server and by those who answer without one. Needs numpy (1.26 or 2), Pillow and
tokenizers; the file travels in the bundle. A bad listing gets an error of its own and does not affect its batch.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import json
import sys
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ecclip.formats.service import LANGUAGE_BYTES
from ecclip.product_input import (
    PixelBudget,
    PreprocessingError,
    Preprocessor,
    canonical_of,
    codec_versions,
    description_text,
    title_text,
)
from ecclip.tasks.decision import Decider
from ecclip.tasks.kinds.task import Query

IMAGE_TOWER, TEXT_TOWER, HEADS = "image_tower", "text_tower", "heads"
_IMAGE_ONLY, _TEXT_ONLY, _BOTH = 0, 1, 2  # order of the heads' matrices
_BLANK = "\0 \t\r\n"


class BundleError(ValueError):
    """This process would not answer as the bundle was evaluated; the text says how it differs."""


@dataclass
class Item:
    """One listing in progress: its inputs, intermediate results and answer."""

    photo: bytes = b""  # until it is read
    image: np.ndarray | None = None
    text: tuple[np.ndarray, np.ndarray] | None = None
    query: Query | None = None
    from_image: list[np.ndarray] | None = None  # embedding, and the tower's features where heads read them
    from_text: list[np.ndarray] | None = None
    logits: list[np.ndarray] | None = None
    answer: dict[str, Any] | None = None
    error: str = ""  # shown to the client
    reason: str = ""  # of the error, as metrics and counts name it

    @property
    def modality(self) -> int:
        """Index in the heads' order: image, text, both."""
        if self.image is None:
            return _TEXT_ONLY
        return _IMAGE_ONLY if self.text is None else _BOTH


@dataclass
class Call:
    """One question to a graph: its inputs [N, ...] by name, and the items that its rows belong to."""

    graph: str
    outputs: list[str]
    feed: dict[str, np.ndarray]
    items: list[Item]
    field: str

    def take(self, found: Mapping[str, np.ndarray]) -> None:
        """Give each item its rows, one per output."""
        for item, *rows in zip(self.items, *(found[name] for name in self.outputs), strict=True):
            setattr(item, self.field, rows)

    def fail(self) -> None:
        """Give each item the error of a graph that did not answer."""
        for item in self.items:
            item.error, item.reason = f"the model {self.graph} did not answer", self.graph


class Listings:
    """What a bundle does with listings before and after its graphs.

    Args:
        entry: what :func:`ecclip.serving.answering.entry.entry_of` says of the bundle.
        tokenizer: its tokenizer's file.
        code: its folder of code, which holds the tasks.
        complain: where an unforeseen error is told.
    """

    def __init__(
        self, entry: Mapping[str, Any], tokenizer: Path, code: Path, complain: Callable[[str], object]
    ) -> None:
        self._made_with = entry["product_input"]
        self._complain = complain
        self._preprocessor = Preprocessor.described(entry, tokenizer, canonical_of(self._made_with))
        heads = entry["heads"]
        tasks = [_load(path).TASK for path in sorted((code / "tasks").glob("*.py"))]
        self._decider = Decider(heads, tasks, entry["top_k"])
        self._modalities = list(heads["modalities"])
        self._widths = [int(width) for width in heads["widths"]]
        features = sum(self._widths) > 2 * int(heads["dim"])
        self._tower_outputs = ["embedding", "features"] if features else ["embedding"]
        self._image_bytes, self._text_bytes = int(entry["image_bytes"]), int(entry["text_bytes"])
        self._lineage = str(entry["lineage"])

    def budget(self) -> PixelBudget:
        """Return the pixels that the photos of one message may have together."""
        return PixelBudget(self._preprocessor.canonical.message_pixels)

    def read(self, given: Mapping[str, bytes], budget: PixelBudget) -> Item:
        """Return a listing ready for the towers, from the service's inputs by name; one that cannot be has an error."""
        item = self.read_texts(given)
        self.read_photo(item, budget)
        return item

    def read_texts(self, given: Mapping[str, bytes]) -> Item:
        """Return a listing ready for the text tower, as :meth:`read`; its photo is not looked at yet."""
        image = given["IMAGE"]
        try:
            written = self._text("title", given["TITLE"])
            description = self._text("description", given.get("DESCRIPTION", b""))
            query = Query(
                None if written is None else title_text(written),
                None if description is None else description_text(description),
                self._language(given.get("LANGUAGE", b"")),
            )
            tokens = None if written is None else self._preprocessor.title(written)
            if not image and tokens is None:
                raise PreprocessingError("nothing", "neither an image nor a title is given")
            return Item(image, text=tokens, query=query)
        except Exception as error:  # noqa: BLE001 - an unforeseen error must affect this listing alone
            return self._failed(Item(), error)

    def read_photo(self, item: Item, budget: PixelBudget) -> None:
        """Make a listing's photo ready for the image tower; one that cannot be gives the listing an error."""
        try:
            if not item.error and item.photo:
                item.image = self._pixels(item.photo, budget)
        except Exception as error:  # noqa: BLE001 - an unforeseen error must affect this listing alone
            self._failed(item, error)
        item.photo = b""

    def text_calls(self, items: Sequence[Item]) -> list[Call]:
        """Return the question to the text tower about the listings without an error; none where no title is left."""
        titles = [(item, item.text) for item in items if item.text is not None and not item.error]
        if not titles:
            return []
        feed = {name: np.stack([text[place] for _, text in titles]) for place, name in enumerate(("ids", "mask"))}
        return [Call(TEXT_TOWER, self._tower_outputs, feed, [item for item, _ in titles], "from_text")]

    def image_calls(self, items: Sequence[Item]) -> list[Call]:
        """Return the question to the image tower about the listings without an error; none where no photo is left."""
        photos = [(item, item.image) for item in items if item.image is not None and not item.error]
        if not photos:
            return []
        feed = {"pixels": np.stack([pixels for _, pixels in photos])}
        return [Call(IMAGE_TOWER, self._tower_outputs, feed, [item for item, _ in photos], "from_image")]

    def heads_calls(self, items: Sequence[Item]) -> list[Call]:
        """Return the question to the heads about what the towers have embedded; none where nothing is left."""
        sound = [item for item in items if not item.error]
        if not sound:
            return []
        absent = [[np.zeros(width, np.float32)] for width in self._widths]
        feed = {
            "image_embedding": np.stack([np.concatenate(item.from_image or absent[0]) for item in sound]),
            "text_embedding": np.stack([np.concatenate(item.from_text or absent[1]) for item in sound]),
            "modality": np.array([item.modality for item in sound], np.int64),
        }
        return [Call(HEADS, ["logits"], feed, sound, "logits")]

    def decide(self, items: Sequence[Item]) -> None:
        """Give each listing whose logits are known its answer."""
        for item in items:
            if item.error or item.logits is None:
                continue
            try:
                item.answer = self._decider.answer(item.logits[0], self._modalities[item.modality], item.query)
            except ValueError as error:
                item.error, item.reason = f"no decision: {error}", "no_decision"

    def outputs(self, item: Item) -> dict[str, Any]:
        """Return the service's outputs of one listing by name; with an error there are no others but the lineage."""
        answer = {} if item.error or item.answer is None else item.answer | {"EMBEDDING": _together(item)}
        return answer | {"LINEAGE": self._lineage, "ERROR": item.error}

    def check(self, known: Mapping[str, Any]) -> None:
        """Compare this process with the one that made the bundle: codecs, and the known-answer test.

        Raises:
            BundleError: photos, titles or decisions would come out otherwise.
        """
        found, made_with = codec_versions(), self._made_with["codecs"]
        if found != made_with:
            raise BundleError(
                f"the photos of this bundle were made with {made_with}, this server has {found}; "
                "give it the Pillow of requirements/serving.txt, or train with this one"
            )
        for name, value in self._answer_known(known).items():
            if value != known[name]:
                raise BundleError(f"{name} of a known listing differ from those of training")

    def unicode_warning(self) -> str:
        """Say where the tables of both Pythons differ: characters new in one of them may be read otherwise."""
        made_with, found = self._made_with.get("unicode"), unicodedata.unidata_version
        if made_with is None or found == made_with:
            return ""
        return (
            f"the titles of this bundle were cleaned by Unicode {made_with}, this server has Unicode {found}: "
            "characters that only the newer one knows may be read otherwise; for equal tables run both "
            "environments on one version of Python"
        )

    def _answer_known(self, known: Mapping[str, Any]) -> dict[str, Any]:
        pixels = np.ascontiguousarray(self._preprocessor.image(base64.b64decode(known["image"])))
        ids, mask = self._preprocessor.title(known["title"])
        answer = self._decider.answer(np.array(known["logits"], np.float32), known["modality"])
        return {
            "pixels": hashlib.sha256(pixels.tobytes()).hexdigest(),
            "ids": [int(one) for one in ids],
            "mask": [int(one) for one in mask],
            "answer": json.loads(json.dumps(answer)),
        }

    def _failed(self, item: Item, error: Exception) -> Item:
        if isinstance(error, PreprocessingError):
            item.error, item.reason = str(error), error.reason
            return item
        self._complain(f"preprocessing failed: {type(error).__name__}")
        item.error, item.reason = "the listing cannot be preprocessed", "unforeseen"
        return item

    def _pixels(self, image: bytes, budget: PixelBudget) -> np.ndarray:
        if len(image) > self._image_bytes:
            raise PreprocessingError("too_large", f"the image has {len(image)} bytes; limit: {self._image_bytes}")
        return np.asarray(self._preprocessor.image(image, budget))

    def _language(self, data: bytes) -> str | None:
        return self._text("language", data, LANGUAGE_BYTES)

    def _text(self, what: str, data: bytes, limit: int | None = None) -> str | None:
        limit = self._text_bytes if limit is None else limit
        if len(data) > limit:
            raise PreprocessingError("too_long", f"the {what} has {len(data)} bytes; limit: {limit}")
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise PreprocessingError("not_utf8", f"the {what} is not UTF-8") from error
        return text if text.strip(_BLANK) else None


def _together(item: Item) -> np.ndarray:
    """Return the listing's embedding [d]: that of its image or title, or the normalised sum of both."""
    given = [one[0] for one in (item.from_image, item.from_text) if one is not None]
    total = np.asarray(np.sum(given, axis=0, dtype=np.float32))
    return total / max(float(np.linalg.norm(total)), 1e-12)


def _load(path: Path) -> Any:
    """Return a task's module by its file."""
    name = f"ecclip_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise BundleError(f"{path.name} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module
