"""Limits of fetching a photo, what the night before knows about it, and the result."""

from __future__ import annotations

from typing import NamedTuple, Self

from pydantic import Field

from ecclip.core import StageConfig, sha256_bytes


class FetchConfig(StageConfig):
    """Where photos may come from, and the limits for each; defaults by judgment."""

    allowed_schemes: list[str] = Field(
        ["http", "https"], description="schemes that an image_uri may have; others (s3, gs, file ...) go through fsspec"
    )
    allow_private_networks: bool = Field(
        False, description="whether a photo may come from a private, loopback or link-local address"
    )
    max_image_bytes: int = Field(20_000_000, ge=1, description="a larger photo is not fetched: reason too_large")
    threads: int = Field(2, ge=1, description="photos read at once from the dump and through fsspec")
    connections: int = Field(32, ge=1, description="photos fetched at once over HTTP")
    host_connections: int = Field(8, ge=1, description="photos fetched at once from one host")
    connect_s: float = Field(10.0, gt=0, description="longest time to reach a host over HTTP, seconds")
    timeout_s: float = Field(30.0, gt=0, description="longest time of one attempt over HTTP, seconds")
    attempts: int = Field(4, ge=1, description="attempts over HTTP where a server fails or is silent")
    backoff_s: float = Field(0.5, ge=0, description="pause after the first failed attempt, doubled each time, seconds")
    max_redirects: int = Field(5, ge=0, description="redirects followed for one photo")
    host_failures: int = Field(
        10, ge=1, description="failures in a row after which a host is given up for the night: reason host_unreachable"
    )
    host_s: float = Field(
        3600.0, gt=0, description="longest time from a host's first photo to its last, seconds: reason host_too_slow"
    )
    night_s: float = Field(
        5400.0, gt=0, description="longest time that a night fetches photos, seconds: reason out_of_time"
    )
    spool_bytes: int = Field(
        100 << 30, ge=1, description="bytes of fetched photos that wait on disk to be packed: reason spool_full"
    )


class PreviousPhoto(NamedTuple):
    """A photo that the night before landed: where its bytes are, and the validator that shows whether it has
    changed."""

    sha256: str
    bytes: int
    validator: str | None
    part: str


class Fetched(NamedTuple):
    """One photo: its bytes, or ``known`` where the night before has the same, or the reason why there is none."""

    uri: str
    image: bytes | None
    sha256: str | None
    validator: str | None
    known: PreviousPhoto | None
    error: str | None

    @classmethod
    def refused(cls, uri: str, reason: str) -> Self:
        """Return a photo that could not be fetched."""
        return cls(uri, None, None, None, None, reason)

    @classmethod
    def same(cls, uri: str, known: PreviousPhoto) -> Self:
        """Return a photo whose validator says that it is what the night before has."""
        return cls(uri, None, known.sha256, known.validator, known, None)

    @classmethod
    def read(cls, uri: str, image: bytes, validator: str | None, known: PreviousPhoto | None = None) -> Self:
        """Return a photo that was read; where its content is what the night before has, ``known``, that is kept."""
        digest = sha256_bytes(image)
        same = known if known is not None and known.sha256 == digest else None
        return cls(uri, image, digest, validator, same, None)
