"""The other end of :mod:`ecclip.serving.answering.worker`: a bundle's own code, asked from a process of ours."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from ecclip.core import ContractError, ServiceError
from ecclip.formats.bundle import Bundle

_WORKER = "ecclip.serving.answering.worker"
_TAIL = 2000  # characters of what a process said before it ended

Answered = list[tuple[dict[str, Any], str]]


class BundleProcess:
    """A process that answers with a bundle; it ends with the ``with`` block, or with this process.

    Args:
        bundle: its folder.
        threads: how many prepare listings, and compute a graph.

    Raises:
        ContractError: the bundle's code is older and cannot answer without a server.
    """

    def __init__(self, bundle: Path, threads: int) -> None:
        code, libraries = Bundle(bundle).code, Bundle(bundle).libraries
        if not (code / f"{_WORKER.replace('.', '/')}.py").is_file():
            raise ContractError(
                "the bundle's code cannot answer without a server",
                value=bundle,
                limit="bundles that this version of ecclip exported",
                next_step="run the night with this version, and promote its bundle",
            )
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        self._process = subprocess.Popen(
            # -P: the folder that the process starts in is not searched for modules
            [sys.executable, "-P", "-m", _WORKER, str(bundle), str(threads)],
            env={**os.environ, "PYTHONPATH": f"{code}{os.pathsep}{libraries}", "PYTHONDONTWRITEBYTECODE": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
        )

    def answer(self, questions: Sequence[Mapping[str, bytes]]) -> Answered:
        """Return the service's outputs by name of each listing, and the name of its error in counts, empty: none.

        Raises:
            ServiceError: the process has ended; says what it said last.
        """
        assert self._process.stdin is not None
        try:
            pickle.dump(list(questions), self._process.stdin)
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise self._ended() from error
        return self._next()

    def __enter__(self) -> BundleProcess:
        try:
            self._next()
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def _next(self) -> Answered:
        assert self._process.stdout is not None
        try:
            found: Answered = pickle.load(self._process.stdout)
        except EOFError as error:
            raise self._ended() from error
        return found

    def _ended(self) -> ServiceError:
        code = self._process.wait()
        self._said.seek(0)
        said = self._said.read().decode(errors="replace").strip()
        return ServiceError(
            "the process that answers with the bundle's code has ended",
            value=f"status {code}: {said[-_TAIL:]}",
            next_step="fix what it says, then run it again",
        )

    def _close(self) -> None:
        """Let the process end: its input is over. One that is busy is killed, since nobody waits for its answer."""
        self._process.kill()
        self._process.communicate()
        self._said.close()
