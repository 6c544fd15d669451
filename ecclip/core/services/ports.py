"""The port of a service: the one set in the environment, else a free one that stays the same."""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import time

from ecclip.errors import ConfigError, ServiceError

_PATIENCE_S = 5.0  # the kernel may take a moment to release a killed server's port; by judgment
# below 32768, where Linux begins to assign local ports of connections: a restarted server finds its port free
_FIRST, _BLOCKS, _SLOTS = 20000, 3000, 4


def choose_port(seed: str, slot: int, variable: str | None = None) -> int:
    """Return the port on 127.0.0.1 that is set in an environment variable, else a free one.

    The free one is the same for a seed and a slot unless another process takes it; each service of a seed has its own
    slot (0 to 3), so that two never get the same port.

    Raises:
        ConfigError: the variable does not hold a port number.
        ServiceError: another process has the given port, or no port is free.
    """
    given = None if variable is None else os.environ.get(variable)
    if given is not None:
        return _given(given, str(variable))
    block = int(hashlib.sha256(seed.encode()).hexdigest()[:8], 16)
    for step in range(_BLOCKS):
        port = _FIRST + (block + step) % _BLOCKS * _SLOTS + slot
        if _is_free(port, patience_s=0.0 if step else _PATIENCE_S):
            return port
    raise ServiceError(
        "there is no free port on 127.0.0.1",
        limit=f"{_FIRST} to {_FIRST + _BLOCKS * _SLOTS - 1}",
        next_step="end what listens there (ss -tlnp), or give a port by ECCLIP_<SERVICE>_PORT",
    )


def _given(given: str, variable: str) -> int:
    if not given.isdigit() or not 0 < int(given) < 65536:
        step = f"set {variable} to a port, or unset it for a free one"
        raise ConfigError(f"{variable} is not a port number", value=given, limit="1 to 65535", next_step=step)
    if not _is_free(int(given), patience_s=_PATIENCE_S):
        step = "set another port, or unset the variable for a free one"
        raise ServiceError("the port is taken", value=f"{variable}={given}", next_step=step)
    return int(given)


def _is_free(port: int, patience_s: float) -> bool:
    deadline = time.monotonic() + patience_s
    while True:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return True
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.1)
