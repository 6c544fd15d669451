"""Who may ask a server, by the settings: TLS and token, of the embedded server and of everyone who asks it."""

from __future__ import annotations

from typing import Any

from ecclip.client import TLS, TOKEN_NAME, ClientOptions
from ecclip.core import ConfigError, settings


def client_options(**options: Any) -> ClientOptions:
    """Return the options of a client of this workspace's server: its TLS and token, and whatever else is given.

    Raises:
        ConfigError: a file of TLS is missing, or a certificate stands without its key.
    """
    token = settings().triton_token
    return ClientOptions(tls=client_tls(), token=token.get_secret_value() if token else None, **options)


def client_tls() -> TLS | None:
    """Return how this workspace's clients connect: encrypted, if the settings name authorities to trust."""
    now = settings()
    if now.triton_tls_roots is None:
        given = now.triton_tls_certificate or now.triton_tls_server_certificate
        if given is not None:
            raise ConfigError(
                "a certificate is of no use without the authorities that signed it",
                value=given,
                next_step="set ECCLIP_TRITON_TLS_ROOTS to their PEM file",
            )
        return None
    return TLS(roots=now.triton_tls_roots, certificate=now.triton_tls_certificate, key=now.triton_tls_key)


def tls_arguments() -> list[str]:
    """Return the options of a server that speaks TLS, mutual if its own clients have a certificate; none without TLS.

    Raises:
        ConfigError: the server has no certificate or key, or a file is missing.
    """
    tls, now = client_tls(), settings()
    if tls is None:
        return []
    own = TLS(roots=tls.roots, certificate=now.triton_tls_server_certificate, key=now.triton_tls_server_key)
    if own.certificate is None:
        raise ConfigError(
            "the embedded server has no certificate",
            value=f"ECCLIP_TRITON_TLS_ROOTS={own.roots}",
            next_step="set ECCLIP_TRITON_TLS_SERVER_CERTIFICATE and ECCLIP_TRITON_TLS_SERVER_KEY",
        )
    files = {"root-cert": own.roots, "server-cert": own.certificate, "server-key": own.key}
    mode = "use-ssl" if tls.certificate is None else "use-ssl-mutual"
    return [f"--grpc-{mode}=true", *(f"--grpc-{name}={path.resolve()}" for name, path in files.items() if path)]


def token_arguments() -> list[str]:
    """Return the secret option of a server that answers questions with the token alone; none without a token."""
    token = settings().triton_token
    return [f"--grpc-restricted-protocol=inference:{TOKEN_NAME}={token.get_secret_value()}"] if token else []
