"""How a client asks: limits of time, retries, sizes of messages, TLS and token."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errors import ConfigError
from .messages import encode
from .security import TLS, token_header
from .types import MAX_BATCH, MESSAGE_BYTES, Product

# messages with their encoding around the photos; a server that restarts is back in seconds, not in gRPC's two minutes
_CHANNEL = [
    ("grpc.max_send_message_length", 2 * MESSAGE_BYTES),
    ("grpc.max_receive_message_length", 2 * MESSAGE_BYTES),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.enable_http_proxy", 0),
]
_ID_DIGITS = 16  # hexadecimal, of a request's own id
_LEAST = {"timeout_s": 0.001, "margin_s": 0.0, "retries": 0, "backoff_s": 0.0, "max_pause_s": 0.0, "max_batch": 1}


def require(name: str, value: float, least: float) -> None:
    """Raise ConfigError for an option below its least value, or without end."""
    if not least <= value < float("inf"):
        raise ConfigError(
            "an option of the client is out of range",
            value=f"{name}={value}",
            limit=f"{name} >= {least}, and finite",
            next_step=f"give {name} another value, or leave it out",
        )


def _patient(seconds: float) -> float:
    """Return a limit of time multiplied by this machine's ``ECCLIP_PATIENCE``."""
    return seconds * float(os.environ.get("ECCLIP_PATIENCE", "1"))


@dataclass(frozen=True, kw_only=True)
class ClientOptions:
    """Limits of time, retries, TLS and token of a client; each has a value, and there is no way to wait for ever.

    Attributes:
        model: the server's model.
        version: of that model; default: the newest.
        timeout_s: longest time of one message on the server, seconds; the default is multiplied by ``ECCLIP_PATIENCE``.
        margin_s: how much longer the client waits, seconds. The server must time out first, since a client that
            cancels leaves work behind there; by judgment: far more than the round trip within a data centre.
        retries: further attempts after a message that was not served (no server, or its queue is full).
        backoff_s: pause before the second attempt, seconds; it doubles with each further one.
        max_pause_s: longest pause between two attempts, seconds.
        max_batch: listings per message at most.
        tls: encrypts the channel; default: everything is sent in the clear, the token too.
        token: for a server that asks for one.

    Raises:
        ConfigError: a value is below its limit.
    """

    model: str = "product"
    version: str = ""
    timeout_s: float = field(default_factory=lambda: _patient(10.0))
    margin_s: float = 0.5
    retries: int = 3
    backoff_s: float = 0.1
    max_pause_s: float = 1.0
    max_batch: int = MAX_BATCH
    tls: TLS | None = None
    token: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """Refuse what would wait for ever, or never ask."""
        for name, least in _LEAST.items():
            require(name, getattr(self, name), least)
        if self.max_batch > MAX_BATCH:
            raise ConfigError(
                "a message would be refused", value=f"max_batch={self.max_batch}", limit=MAX_BATCH,
                next_step="leave it out: any number of listings is sent as several messages",
            )  # fmt: skip

    def pauses(self) -> Iterator[float]:
        """Yield the pause after each failed attempt that is followed by another one."""
        pause = self.backoff_s
        for _ in range(self.retries):
            yield min(pause, self.max_pause_s)
            pause = min(2 * pause, self.max_pause_s)

    def channel(self) -> dict[str, Any]:
        """Return the arguments of the client library for its channel."""
        return {"channel_args": _CHANNEL, **(self.tls.channel() if self.tls else {})}

    def call(self, products: Sequence[Product], kinds: Any, request_id: str = "") -> dict[str, Any]:
        """Return the arguments of one call of the client library; without an id the message gets one of its own."""
        inputs, outputs = encode(products, kinds)
        return {
            "model_name": self.model,
            "model_version": self.version,
            "inputs": inputs,
            "outputs": outputs,
            "timeout": int(self.timeout_s * 1e6),  # of the server, microseconds
            "client_timeout": self.timeout_s + self.margin_s,
            "request_id": request_id or uuid.uuid4().hex[:_ID_DIGITS],
            "headers": token_header(self.token),
        }
