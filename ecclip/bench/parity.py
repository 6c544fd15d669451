"""Parity: rows of the dump, asked of a real server, against what the snapshot made of them and models learnt from.

``python -m ecclip.bench.parity --night 2026-11-01 --out results/parity.json``; ``ecclip bench parity`` calls it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import pickle
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ecclip.bench.graph_outputs import ALONE, WITH, time_outputs
from ecclip.bench.machine import new_result
from ecclip.bench.result import Result, write_result
from ecclip.catalog.land.originals import OriginalPhotos
from ecclip.client import IMAGE_BYTES, MAX_BATCH, TEXT_BYTES, Answer, Product, ProductClient
from ecclip.core import IntegrityError, settings
from ecclip.formats.bundle import Bundle
from ecclip.formats.columns import IMAGE_SHA256, TITLE_ORIGINAL
from ecclip.formats.embeddings import load_embeddings
from ecclip.formats.snapshot import PHOTO, Snapshot
from ecclip.serving import Deployment, EmbeddedServer, client_options

_COLUMNS = ["listing_id", "title", TITLE_ORIGINAL, IMAGE_SHA256]
_ROWS_AT_ONCE = 512  # a row group of photos that landed is read once for so many listings; 512 photos fit in memory
COUNTS = ("pixels_differ", "texts_differ", "categories_differ", "attribute_sets_differ", "decisions_differ")
_READ_BY = ("image_size", "max_tokens", "reading")  # what a description says of preprocessing
_Seen = Callable[[list[tuple[str, bytes | None]]], list[tuple[str, str]]]
# runs under the interpreter that serves, on the code of the bundle and nothing else of this checkout
_SEEN = """
import hashlib, json, pickle, sys
from pathlib import Path
code, bundle, tokenizer, described = sys.argv[1:]
sys.path[:0] = [code, *map(str, Path(code).glob("*.zip"))]
from ecclip.product_input import Preprocessor, read_canonical, title_text
preprocessor = Preprocessor.described(json.loads(described), Path(tokenizer), read_canonical(Path(bundle)))
while rows := pickle.load(sys.stdin.buffer):
    seen = []
    for title, photo in rows:
        pixels = "" if photo is None else hashlib.sha256(preprocessor.image(photo).tobytes()).hexdigest()
        seen.append((title_text(title), pixels))
    pickle.dump(seen, sys.stdout.buffer)
    sys.stdout.buffer.flush()
"""


@dataclass(frozen=True)
class NightFolders:
    """What a night left: its snapshot, the photos that landed, embeddings and bundle."""

    snapshot: Path
    landed: Path
    ingested: Path
    embedded: Path
    bundle: Path


class Row(NamedTuple):
    """A listing twice: as the shop exported it, and as the snapshot has it."""

    listing_id: str
    raw: Product
    kept: Product


@dataclass
class Parity:
    """What differs over all listings of a night, and how near the answers' photo embeddings are to the snapshot's.

    Attributes:
        listings: that were asked about, both ways.
        too_large: listings whose photo or title is more than one question may hold: not asked.
        rewritten_titles: titles that are not what their seller wrote.
        rewritten_photos: photos that are not the file that the shop sent.
        errors: raw rows that were answered with an error.
        counts: differences by the names of ``COUNTS``.
        cosines: of the server's embedding of the shop's file and the stage's embedding of the snapshot's photo.
        seconds: of the bundle's towers, see :func:`ecclip.bench.graph_outputs.time_outputs`.
    """

    listings: int = 0
    too_large: int = 0
    rewritten_titles: int = 0
    rewritten_photos: int = 0
    errors: int = 0
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTS, 0))
    cosines: list[float] = field(default_factory=list)
    seconds: dict[str, dict[str, list[float]]] = field(default_factory=dict)

    @property
    def photo_cosine_p01(self) -> float:
        """The cosine that 99 of 100 photos reach."""
        return float(np.percentile(self.cosines, 1))


def measure(night: NightFolders, server: EmbeddedServer) -> Parity:
    """Serve the night's bundle and ask about every listing of the night twice.

    Raises:
        IntegrityError: the bundle is not blessed by this server, or a photo has not landed.
    """
    deployment = Deployment(server.repository, server.start().address)
    server.repository.stage(night.bundle, 1)
    blessing = deployment.bless(1)
    if not blessing.passed:
        raise IntegrityError(
            "the night's bundle is not blessed",
            value=night.bundle,
            limit="; ".join(blessing.reasons)[:300],
            next_step="fix what the reasons name, then run the night again",
        )
    deployment.go_live(1)
    found = Parity(seconds=time_outputs(night.bundle))
    embedded = load_embeddings(night.embedded)
    known = dict(zip(embedded.listing_ids, embedded.image, strict=True))
    with (
        ProductClient(server.address, client_options()) as client,
        _serving_interpreter(server.python, night.bundle) as seen_by_server,
    ):
        for rows in _batches(night, found):
            _compare_inputs(rows, night.bundle, seen_by_server, found)
            _compare_answers(rows, client, found)
            _compare_photos(rows, client, known, found)
    return found


def _batches(night: NightFolders, found: Parity) -> Iterator[list[Row]]:
    photos = OriginalPhotos(night.landed, night.ingested)
    for batch in Snapshot(night.snapshot).batches(_COLUMNS, photos=True, rows=_ROWS_AT_ONCE):
        values = [dict(zip(batch, one, strict=True)) for one in zip(*batch.values(), strict=True)]
        originals = photos.read({one[IMAGE_SHA256] for one in values if one[PHOTO] is not None})
        rows = [_row(one, originals) for one in values]
        kept = [row for row in rows if _fits(row.raw)]
        found.too_large += len(rows) - len(kept)
        found.listings += len(kept)
        yield from (kept[first : first + MAX_BATCH] for first in range(0, len(kept), MAX_BATCH))


def _row(values: dict[str, Any], originals: dict[str, bytes]) -> Row:
    image = values[PHOTO]
    raw = Product(None if image is None else originals[values[IMAGE_SHA256]], values[TITLE_ORIGINAL])
    return Row(values["listing_id"], raw, Product(image, values["title"]))


def _fits(product: Product) -> bool:
    return len(product.image or b"") <= IMAGE_BYTES and len((product.title or "").encode()) <= TEXT_BYTES


@contextmanager
def _serving_interpreter(python: Path, bundle: Path) -> Iterator[_Seen]:
    """Yield a function that says what the serving interpreter makes of titles and photos: texts, digests of pixels."""
    parts = Bundle(bundle)
    described = {name: value for name, value in parts.description().items() if name in _READ_BY}
    words = [parts.code, bundle, parts.tokenizer, json.dumps(described)]
    command = [str(python), "-I", "-c", _SEEN, *map(str, words)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        questions, answers = process.stdin, process.stdout
        assert questions is not None
        assert answers is not None

        def seen(rows: list[tuple[str, bytes | None]]) -> list[tuple[str, str]]:
            pickle.dump(rows, questions)
            questions.flush()
            answer: list[tuple[str, str]] = pickle.load(answers)
            return answer

        yield seen
        pickle.dump([], questions)


def _compare_inputs(rows: Sequence[Row], bundle: Path, seen_by_server: _Seen, found: Parity) -> None:
    """Compare what the serving interpreter makes of the raw rows with the snapshot's titles and photos."""
    from ecclip.model import load_preprocessor  # torch: after the server's processes have been started

    seen = seen_by_server([(row.raw.title or "", row.raw.image) for row in rows])
    preprocessor = load_preprocessor(Bundle(bundle).towers)
    for row, (text, pixels) in zip(rows, seen, strict=True):
        photo = row.kept.image
        learnt = "" if photo is None else hashlib.sha256(preprocessor.pixels(photo).tobytes()).hexdigest()
        found.counts["texts_differ"] += text != row.kept.title
        found.counts["pixels_differ"] += pixels != learnt
        found.rewritten_titles += row.raw.title != row.kept.title
        found.rewritten_photos += row.raw.image != row.kept.image


def _compare_answers(rows: Sequence[Row], client: ProductClient, found: Parity) -> None:
    answers = [client.ask([getattr(row, which) for row in rows]) for which in ("raw", "kept")]
    for raw, kept in zip(*answers, strict=True):
        found.errors += bool(raw.error)
        found.counts["categories_differ"] += _category(raw) != _category(kept) or raw.error != kept.error
        found.counts["attribute_sets_differ"] += _values(raw) != _values(kept)
        found.counts["decisions_differ"] += raw.decisions != kept.decisions


def _category(answer: Answer) -> tuple[list[tuple[str, ...]], list[tuple[str, ...]]]:
    """Return the category answered, and the one without examples that is suggested beside it."""
    return answer.categories[:1], [one.path for one in answer.suggested[:1]]


def _values(answer: Answer) -> dict[str, Any]:
    return {name: one["value"] for name, one in answer.attributes.items()}


def _compare_photos(rows: Sequence[Row], client: ProductClient, known: dict[str, np.ndarray], found: Parity) -> None:
    with_photo = [row for row in rows if row.raw.image is not None]
    answers = client.ask([Product(image=row.raw.image) for row in with_photo])
    found.cosines += [
        float(one.embedding @ known[row.listing_id]) for row, one in zip(with_photo, answers, strict=True)
    ]


def result_of(nights: Sequence[Parity], command: str) -> Result:
    """Return the figures of some nights: medians over the nights, and in the headline what differs in all of them."""
    result = new_result(command, nights=len(nights), listings=sum(one.listings for one in nights))
    for what, name in (
        ("listings asked about, as exported and as the snapshot has them", "listings"),
        ("of which too large for a question", "too_large"),
        ("titles that are not what their seller wrote", "rewritten_titles"),
        ("photos that are not the shop's file", "rewritten_photos"),
        ("rows that were answered with an error", "errors"),
    ):
        result.add(what, "ecclip", "listings", [getattr(one, name) for one in nights])
    for name in COUNTS:
        result.add(name.replace("_", " "), "raw row / snapshot's row", "listings", [one.counts[name] for one in nights])
    cosine = [one.photo_cosine_p01 for one in nights]
    result.add("cosine of photo embeddings, 1st percentile", "server, shop's file / embed", "", cosine)
    _add_costs(result, nights)
    sums = {name: sum(one.counts[name] for one in nights) for name in COUNTS}
    result.head(**sums, photo_cosine_p01=min(cosine))
    return result


def _add_costs(result: Result, nights: Sequence[Parity]) -> None:
    """Enter what the towers' features cost where the embedding is given out anyway, over all calls of all nights."""
    for tower in nights[0].seconds:
        both, alone = ([one for night in nights for one in night.seconds[tower][what]] for what in (WITH, ALONE))
        ratios = [one / other for one, other in zip(both, alone, strict=True)]
        result.add(f"time of the graph {tower}", f"{WITH} / {ALONE}", "×", ratios)


def main() -> None:
    """Measure the nights of this workspace that are named and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--night", action="append", required=True)
    parser.add_argument("--out", type=Path, required=True)
    chosen = parser.parse_args()
    found = []
    for night in chosen.night:
        with tempfile.TemporaryDirectory(prefix="ecclip-parity-") as folder:
            server = EmbeddedServer(Path(folder), settings().work / "env" / "triton")
            try:
                found.append(measure(night_folders(settings().work, night), server))
            finally:
                server.stop()
    command = " ".join(["ecclip bench parity", *(f"--night {night}" for night in chosen.night)])
    write_result(result_of(found, command), chosen.out)


def night_folders(work: Path, night: str) -> NightFolders:
    """Return where a workspace has what a night left."""
    folder = work / "nights" / night
    parts = (folder / name for name in ("land", "ingest", "embed", "bundle"))
    return NightFolders(work / "snapshots" / night, *parts)


if __name__ == "__main__":
    main()
