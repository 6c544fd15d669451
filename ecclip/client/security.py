"""An encrypted channel to the server: who it is, and who asks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import ConfigError

# of the token: --grpc-restricted-protocol=inference:inference-key=<token> of a server, and the header of a question
TOKEN_NAME = "inference-key"


@dataclass(frozen=True, kw_only=True)
class TLS:
    """PEM files of an encrypted channel. The server's certificate must name the host or IP address that is asked.

    Attributes:
        roots: authorities that signed the other side's certificate; default: those that gRPC comes with.
        certificate: of this side and its chain; a client needs one where the server asks for it (mTLS).
        key: the private key of that certificate.

    Raises:
        ConfigError: a file is missing or no PEM, or a certificate stands without its key.
    """

    roots: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    def __post_init__(self) -> None:
        """Look at the files: gRPC itself would say no more than that a connection failed."""
        if (self.certificate is None) != (self.key is None):
            raise ConfigError(
                "a certificate and its private key go together",
                value=self.certificate or self.key,
                next_step="give both files, or neither",
            )
        for path in filter(None, (self.roots, self.certificate, self.key)):
            _require_pem(path)

    def channel(self) -> dict[str, Any]:
        """Return the arguments of Triton's client library."""
        files = {"root_certificates": self.roots, "certificate_chain": self.certificate, "private_key": self.key}
        return {"ssl": True, **{name: str(path) for name, path in files.items() if path is not None}}


def token_header(token: str | None) -> dict[str, str]:
    """Return the header that opens a server whose questions need the token; without a token there is none."""
    return {} if token is None else {f"triton-grpc-protocol-{TOKEN_NAME}": token}


def _require_pem(path: Path) -> None:
    try:
        found = "" if "-----BEGIN " in path.read_text() else "neither a certificate nor a key"
    except (OSError, ValueError) as error:
        found = str(error)
    if found:
        raise ConfigError(
            "a file of TLS cannot be used", value=f"{path}: {found}", limit="PEM", next_step="correct the path"
        )
