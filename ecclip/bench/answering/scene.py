"""What is measured: a real server with one night's bundle live, the next night's beside it, and listings to ask."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ecclip.bench.answering.generator import Fates, Load, generate
from ecclip.bench.answering.messages import write_messages
from ecclip.catalog.land.originals import OriginalPhotos
from ecclip.client import IMAGE_BYTES, TEXT_BYTES, ClientOptions, Product
from ecclip.core import ConfigError, IntegrityError, ServiceError
from ecclip.formats.columns import IMAGE_ERROR, IMAGE_SHA256, TITLE_ORIGINAL
from ecclip.formats.snapshot import Snapshot
from ecclip.serving import Deployment, EmbeddedServer, client_options

LISTINGS = 256  # different ones, asked about in turns
_COLUMNS = [TITLE_ORIGINAL, IMAGE_SHA256, IMAGE_ERROR]


@dataclass(frozen=True)
class Scene:
    """A server on which version 1 is live; ``bundles`` are versions 1 and 2, ``messages`` the file of the questions."""

    server: EmbeddedServer
    deployment: Deployment
    bundles: tuple[Path, Path]
    messages: Path

    def load(self, **what: Any) -> Load:
        """Return a load on the server."""
        return Load(messages=self.messages, wire="grpc", address=self.deployment.address, **what)

    def bless(self, version: int) -> None:
        """Stage and examine a bundle.

        Raises:
            IntegrityError: it is not blessed.
        """
        self.server.repository.stage(self.bundles[version - 1], version)
        blessing = self.deployment.bless(version)
        if not blessing.passed:
            raise IntegrityError(
                "a bundle is not blessed",
                value=self.bundles[version - 1],
                limit="; ".join(blessing.reasons)[:300],
                next_step="fix what the reasons name, then run the night again",
            )


@contextmanager
def serving(server: EmbeddedServer, bundles: tuple[Path, Path], products: Sequence[Product]) -> Iterator[Scene]:
    """Yield the scene on a server that has a work folder of its own; it is stopped afterwards.

    Raises:
        ConfigError: the settings ask for TLS or a token, which the load generator does not speak.
    """
    if client_options() != ClientOptions():
        raise ConfigError(
            "the service is measured in the clear",
            value="ECCLIP_TRITON_TLS_ROOTS or ECCLIP_TRITON_TOKEN is set",
            next_step="unset them for the benchmark: its server is on loopback, in a folder of its own",
        )
    messages = server.work / "messages.pickle"
    write_messages(products, messages)
    try:
        scene = Scene(server, Deployment(server.repository, server.start().address), bundles, messages)
        scene.bless(1)
        scene.deployment.go_live(1)
        yield scene
    finally:
        server.stop()


def products_of(snapshot: Path, landed: Path, ingested: Path, count: int = LISTINGS) -> list[Product]:
    """Return the first listings of a night that have a title and a good photo, as the shop sent them.

    Raises:
        IntegrityError: the night has none, or a photo has not landed.
    """
    found: list[Product] = []
    photos = OriginalPhotos(landed, ingested)
    for batch in Snapshot(snapshot).batches(_COLUMNS, rows=count):
        named = zip(*batch.values(), strict=True)
        rows = [(title, digest) for title, digest, error in named if title and digest and not error]
        originals = photos.read({digest for _, digest in rows})
        found += [one for title, digest in rows if _fits(one := Product(originals[digest], title))]
        if len(found) >= count:
            break
    if not found:
        raise IntegrityError(
            "no listing of the night has a good photo and a title", value=snapshot, next_step="name another night"
        )
    return found[:count]


def answered(load: Load) -> Fates:
    """Run a load of which every question must be answered.

    Raises:
        ServiceError: one was not.
    """
    fates = generate(load)
    if failed := fates.failed():
        raise ServiceError(
            "questions were not answered",
            value=f"{failed.total()} of {len(fates.questions)}: {failed.most_common(1)[0][0]}",
            next_step="see what the server logged, and run the benchmark again",
        )
    return fates


def _fits(product: Product) -> bool:
    return len(product.image or b"") <= IMAGE_BYTES and len((product.title or "").encode()) <= TEXT_BYTES
