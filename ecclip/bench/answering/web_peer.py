"""The second peer: a plain FastAPI server with onnxruntime, as most people would write it, one worker per core.

It is given bundle and port. FastAPI, uvicorn and their form parser come with Airflow.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import uvicorn
from fastapi import FastAPI, Form, UploadFile

from ecclip.bench.answering.generator import child_arguments
from ecclip.bench.answering.onnx_bundle import WORKERS, OnnxBundle
from ecclip.client import Product
from ecclip.core import patient
from ecclip.core.services import end_with_parent

_APP = "ecclip.bench.answering.web_peer:make_app"
_SILENCE_S = 60.0  # many times what an import takes; by judgment
# how the workers that uvicorn starts learn of them
_BUNDLE, _STARTER = "BENCH_WEB_PEER_BUNDLE", "BENCH_WEB_PEER_STARTER"


def make_app() -> FastAPI:
    """Return the application of one worker, which ends with the process that started it."""
    end_with_parent(int(os.environ[_STARTER]))
    app, bundle = FastAPI(), OnnxBundle(Path(os.environ[_BUNDLE]))

    @app.post("/ask")
    def ask(image: UploadFile, title: Annotated[str, Form()]) -> dict[str, Any]:
        return bundle.ask([Product(image.file.read(), title)])[0]

    return app


def main() -> None:
    """Serve until the process ends."""
    bundle, port = child_arguments()
    os.environ |= {_BUNDLE: bundle, _STARTER: str(os.getpid())}
    uvicorn.run(
        _APP,
        factory=True,
        host="127.0.0.1",
        port=int(port),
        workers=WORKERS,
        log_level="warning",
        # a worker that still imports is not to be replaced, however busy the machine
        timeout_worker_healthcheck=int(patient(_SILENCE_S)),
    )


if __name__ == "__main__":
    main()
