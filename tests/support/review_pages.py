"""The page of `ecclip review` as a process of its own, over a workspace that holds one evaluated night."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from waiting import wait_until


@dataclass(frozen=True)
class Page:
    """A page that is served: its process, its address with the token, and the file that keeps it."""

    process: subprocess.Popen[bytes]
    url: str
    kept: Path
    corrections: Path

    @property
    def origin(self) -> str:
        """Return the address without path and token."""
        return self.url.partition("/?")[0]


@contextmanager
def served_page(reviewed: Path, workspace: Path) -> Iterator[Page]:
    """Serve the page of a night, of which ``workspace`` gets a copy, as ``ann``."""
    shutil.copytree(reviewed, workspace / "work")
    (workspace / "params.yaml").touch()
    command = [sys.executable, "-m", "ecclip", "review", "--author", "ann"]
    process = subprocess.Popen(command, env={**os.environ, "ECCLIP_WORKSPACE": str(workspace)})
    try:
        run = workspace / "work" / "run"
        found = wait_until(lambda: process.poll() is not None or list(run.glob("review-*.url")), "the page")
        assert isinstance(found, list), f"ecclip review has ended: {process.poll()}"
        yield Page(process, found[0].read_text().strip(), found[0], workspace / "corrections")
    finally:
        process.kill()
        process.wait()
