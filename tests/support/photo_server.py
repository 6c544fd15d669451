"""A real HTTP server of photos that can be slow, fail, redirect, never end, and that counts what it is asked."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from waiting import wait_until


class PhotoServer(ThreadingHTTPServer):
    """Serves ``photos`` by path; a path beginning with a behaviour (``/slow/``, ``/flaky/`` ...) behaves that way."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.photos: dict[str, bytes] = {}
        self.asked: Counter[str] = Counter()
        self.sent: Counter[str] = Counter()  # bytes of bodies
        self.heard: dict[str, dict[str, str]] = {}  # the headers of the last question, by path
        self.headers: dict[str, dict[str, str]] = {}  # more headers of an answer, by path
        self.elsewhere = ""
        self.release = threading.Event()  # what is held or trickles goes on
        self.flying = self.most_flying = 0
        self.crowd = 0  # how many slow questions the first answer to one waits for
        self.over = threading.Event()
        self.guard = threading.Lock()

    def address(self, path: str) -> str:
        """Return the URI of a path."""
        return f"http://127.0.0.1:{self.server_port}/{path}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients leave early on purpose."""


@contextmanager
def photo_server() -> Iterator[PhotoServer]:
    """Serve until the block ends."""
    with PhotoServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server
        finally:
            server.over.set()
            server.release.set()
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: PhotoServer

    def log_message(self, *args: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        with self.server.guard:
            self.server.asked[self.path[1:]] += 1
            self.server.heard[self.path[1:]] = {name.lower(): value for name, value in self.headers.items()}
            self.server.flying += 1
            self.server.most_flying = max(self.server.most_flying, self.server.flying)
        try:
            self._answer()
        finally:
            with self.server.guard:
                self.server.flying -= 1

    def _answer(self) -> None:
        path = self.path[1:]
        behaviour = path.split("/")[0]
        times = self.server.asked[path]
        if behaviour == "silent":
            self.server.over.wait()
        if behaviour == "slow":
            wait_until(lambda: self.server.most_flying >= self.server.crowd or self.server.over.is_set(), "a crowd")
        if behaviour == "held":
            self.server.release.wait()
        if behaviour == "trickle" and not self.server.release.is_set():
            self._trickle()
        elif behaviour == "broken" or (behaviour == "flaky" and times < 3):
            self._send(500, b"")
        elif behaviour == "status":
            self._send(int(path.split("/")[1]), b"")
        elif behaviour == "cut" and times < 2:
            self._cut()
        elif behaviour == "endless":
            self._endless()
        elif behaviour == "round":
            self._send(302, b"", {"Location": f"/{path}"})
        elif behaviour == "hops":  # hops/2/a.jpg leads to a.jpg in two steps
            left, name = int(path.split("/")[1]) - 1, path.split("/", 2)[2]
            self._send(302, b"", {"Location": f"/hops/{left}/{name}" if left else f"/{name}"})
        elif behaviour == "away":
            self._send(302, b"", {"Location": self.server.elsewhere})
        elif path not in self.server.photos:
            self._send(404, b"")
        else:
            self._photo(path, behaviour)

    def _photo(self, path: str, behaviour: str) -> None:
        image = self.server.photos[path]
        tag = f'"{hash(image)}"'
        kinds = {
            "tagged": {"ETag": tag},
            "ignorant": {"ETag": tag},
            "dated": {"Last-Modified": "Sun, 01 Nov 2026 00:00:00 GMT"},
        }
        headers = kinds.get(behaviour, {}) | self.server.headers.get(self.path[1:], {})
        asked = {self.headers.get("If-None-Match"), self.headers.get("If-Modified-Since")} - {None}
        if behaviour != "ignorant" and asked & set(headers.values()):
            self._send(304, b"", headers)
        elif behaviour == "unsaid":
            self._send_chunked(image)
        else:
            self._send(200, image, headers)

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if body:
            self.wfile.write(body)
            self.server.sent[self.path[1:]] += len(body)

    def _cut(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b"half")
        self.close_connection = True

    def _trickle(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1000000")
        self.end_headers()
        self.close_connection = True
        while not self.server.release.wait(0.05):
            self.wfile.write(b"x")

    def _send_chunked(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n")

    def _endless(self) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        block = b"10000\r\n" + bytes(0x10000) + b"\r\n"
        for _ in range(4000):
            self.wfile.write(block)
            self.server.sent[self.path[1:]] += 0x10000
