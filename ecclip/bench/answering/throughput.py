"""Listings per second and the time to an answer, by how many clients wait; the server and both peers take turns."""

from __future__ import annotations

import subprocess
import time
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from ecclip.bench.answering.generator import Load, start_child
from ecclip.bench.answering.in_process import InProcess
from ecclip.bench.answering.onnx_bundle import WORKERS
from ecclip.bench.answering.scene import Scene, answered
from ecclip.bench.answering.sizes import Sizes
from ecclip.bench.result import Result
from ecclip.core import ServiceError, patient
from ecclip.core.services import choose_port

SERVER, WEB = "ecclip", "FastAPI with onnxruntime"
_WEB_MODULE, _WEB_SLOT, _WEB_START_S = "ecclip.bench.answering.web_peer", 2, 120.0
_ANSWERED = "listings answered, "  # how the rows of rates begin
_PERCENTILES = (50, 95, 99)  # the usual ones
_AT_ONCE = 16  # listings per call of the peer that has them all at hand
_COMPARED = ((InProcess.name, "onnxruntime", (4, 16)), (WEB, "fastapi", (1, 4, 16, 64)))  # in the headline
# by judgment: what a large cloud asks for a core of a general-purpose machine, on demand
_DOLLARS_PER_CORE_HOUR = 0.04


class _Rates:
    """Rates by system and number of clients, and seconds to an answer where there is a wire."""

    def __init__(self) -> None:
        self.rates: dict[tuple[str, int], list[float]] = defaultdict(list)
        self.seconds: dict[tuple[str, int], list[list[float]]] = defaultdict(list)


def measure_throughput(result: Result, scene: Scene, sizes: Sizes) -> float:
    """Enter rates, latencies, ratios and cost; return the server's largest rate, listings per second."""
    with _peers(scene) as (in_process, web):
        wires = {SERVER: scene.load(), WEB: Load(messages=scene.messages, wire="http", address=web)}
        found = _measure(wires, in_process, sizes)
        together = [in_process.rate(max(sizes.concurrency), sizes.warm_s, sizes.measured_s, _AT_ONCE)]
    _enter_rates(result, found, sizes)
    result.add(f"listings answered, {_AT_ONCE} per call, all at hand", InProcess.name, "1/s", together)
    _enter_latencies(result, found, sizes)
    _enter_ratios(result, found, sizes)
    peak = max(float(np.median(found.rates[SERVER, clients])) for clients in sizes.concurrency)
    what = f"cost of 1,000 listings at {_DOLLARS_PER_CORE_HOUR} USD per core and hour, all {WORKERS} cores paid"
    result.add(what, SERVER, "USD", [1000 / peak / 3600 * WORKERS * _DOLLARS_PER_CORE_HOUR])
    return peak


def entered_peak(result: Result) -> float | None:
    """Return the server's largest rate, listings per second, that :func:`measure_throughput` entered; None: none."""
    rates = [row.value for row in result.rows if row.system == SERVER and row.what.startswith(_ANSWERED)]
    return max(rates, default=None)


def _measure(wires: Mapping[str, Load], in_process: InProcess, sizes: Sizes) -> _Rates:
    found = _Rates()
    for repetition in range(sizes.repetitions):
        for clients in sizes.concurrency:
            names = [*wires, in_process.name]
            for name in names if repetition % 2 == 0 else names[::-1]:
                if name in wires:
                    _over_wire(found, name, wires[name], clients, sizes)
                else:
                    _in_process(found, in_process, clients, sizes)
    return found


def _over_wire(found: _Rates, name: str, load: Load, clients: int, sizes: Sizes) -> None:
    fates = answered(replace(load, concurrency=clients, seconds=sizes.warm_s + sizes.measured_s))
    start = fates.first + sizes.warm_s
    seconds = fates.seconds(start, start + sizes.measured_s)
    found.rates[name, clients].append(len(seconds) / sizes.measured_s)
    found.seconds[name, clients].append(seconds)


def _in_process(found: _Rates, peer: InProcess, clients: int, sizes: Sizes) -> None:
    found.rates[peer.name, clients].append(peer.rate(clients, sizes.warm_s, sizes.measured_s))


def _enter_rates(result: Result, found: _Rates, sizes: Sizes) -> None:
    for clients in sizes.concurrency:
        for name in (SERVER, InProcess.name, WEB):
            result.add(_ANSWERED + _clients(clients), name, "1/s", found.rates[name, clients])


def _enter_latencies(result: Result, found: _Rates, sizes: Sizes) -> None:
    for clients in sizes.concurrency:
        for name in (SERVER, WEB):
            for percent in _PERCENTILES:
                values = [1000 * float(np.percentile(one, percent)) for one in found.seconds[name, clients]]
                result.add(f"time to an answer, {_clients(clients)}: p{percent}", name, "ms", values)


def _enter_ratios(result: Result, found: _Rates, sizes: Sizes) -> None:
    for peer, short, in_headline in _COMPARED:
        for clients in sizes.concurrency:
            pairs = zip(found.rates[SERVER, clients], found.rates[peer, clients], strict=True)
            ratios = [ours / theirs for ours, theirs in pairs]
            ratio = result.add(f"ratio of listings answered, {_clients(clients)}", f"{SERVER} / {peer}", "×", ratios)
            if clients in in_headline:
                result.head(**{f"ratio_{short}_c{clients}": ratio})


def _clients(count: int) -> str:
    return "1 client" if count == 1 else f"{count} clients"


@contextmanager
def _peers(scene: Scene) -> Iterator[tuple[InProcess, str]]:
    """Yield the peer in processes of its own, and the address of the web server, both with the live bundle."""
    bundle = scene.bundles[0]
    port = choose_port(str(scene.server.work), _WEB_SLOT)
    web = start_child(_WEB_MODULE, str(bundle), str(port))
    in_process = InProcess(bundle, scene.messages)
    try:
        _await_web(web, f"127.0.0.1:{port}")
        yield in_process, f"127.0.0.1:{port}"
    finally:
        in_process.stop()
        web.terminate()
        web.communicate()


def _await_web(web: subprocess.Popen[str], address: str) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + patient(_WEB_START_S)
    while web.poll() is None and time.monotonic() < deadline:
        try:
            opener.open(f"http://{address}/docs", timeout=patient(5.0)).close()
            return
        except (urllib.error.URLError, TimeoutError):
            time.sleep(0.1)
    raise ServiceError("the web server of the peer does not start", value=address, next_step="read what it said above")
