"""A real browser without a window, driven over the DevTools protocol (https://chromedevtools.github.io/devtools-protocol/)."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import httpx
from waiting import wait_until
from websockets.sync.client import ClientConnection, connect

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def browser_program() -> str | None:
    """Return the browser of this machine, None where there is none."""
    return next(filter(None, map(shutil.which, PROGRAMS)), None)


class Tab:
    """One page of the browser."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection, self._numbers = connection, count(1)

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a method of the protocol and return its result; events that come meanwhile are passed over."""
        number = next(self._numbers)
        self._connection.send(json.dumps({"id": number, "method": method, "params": params}))
        while (answer := json.loads(self._connection.recv())).get("id") != number:
            pass
        assert "error" not in answer, answer
        result: dict[str, Any] = answer["result"]
        return result

    def value(self, expression: str) -> Any:
        """Return what a JavaScript expression is on the page; None while the page is being replaced by another."""
        return self.call("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def open(self, url: str, until: str) -> None:
        """Open an address and wait until an expression is true there."""
        self.call("Page.navigate", url=url)
        self.wait(until)

    def wait(self, until: str) -> None:
        """Wait until an expression is true on the page."""
        wait_until(lambda: self.value(f"document.readyState === 'complete' && Boolean({until})"), until)

    def press(self, key: str) -> None:
        """Press and release a key, as a person does."""
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, text=key if kind == "keyDown" else "")


@contextmanager
def open_tab(program: str, folder: Path) -> Iterator[Tab]:
    """Start a browser with a profile of its own below ``folder``; it ends with the context."""
    profile = folder / "profile"
    options = ["--headless=new", "--remote-debugging-port=0", f"--user-data-dir={profile}", "--no-first-run"]
    if os.geteuid() == 0:
        options.append("--no-sandbox")  # the browser refuses its sandbox to root
    command = [program, *options, "--disable-gpu", "--disable-dev-shm-usage", "about:blank"]
    with (folder / "browser.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        told = profile / "DevToolsActivePort"
        wait_until(
            lambda: process.poll() is not None or (told.is_file() and told.read_text().count("\n")), "the browser"
        )
        assert process.poll() is None, (folder / "browser.log").read_text()
        port = told.read_text().split()[0]
        page = next(one for one in httpx.get(f"http://127.0.0.1:{port}/json").json() if one["type"] == "page")
        with connect(page["webSocketDebuggerUrl"], max_size=None, proxy=None) as connection:
            yield Tab(connection)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
