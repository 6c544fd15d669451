"""A python model that runs one ONNX graph with onnxruntime, all requests of a call as one batch.

Runs in the serving environment: numpy 1.26, onnxruntime. The version folder holds ``model.onnx`` and ``known.npz``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import triton_python_backend_utils as pb_utils

KNOWN_TOLERANCE = 1e-3  # other processors round otherwise; wrong weights are wrong by far more


class TritonPythonModel:
    """One graph; version N of this model belongs to version N of the entry model."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the graph and compare its answer to a known one."""
        if int(np.__version__.split(".")[0]) >= 2:
            # this backend reads numpy 2 arrays silently wrong
            raise pb_utils.TritonModelException(f"the serving environment needs numpy < 2, not {np.__version__}")
        config = json.loads(args["model_config"])
        folder = Path(args["model_repository"]) / args["model_version"]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(config["parameters"]["threads"]["string_value"])
        options.inter_op_num_threads = 1
        # threads that spin while they wait take the processor from the other models of the server
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        graph = str(folder / "model.onnx")
        self._session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        self._inputs = [one.name for one in self._session.get_inputs()]
        self._outputs = [one.name for one in self._session.get_outputs()]
        self._check(folder / "known.npz", f"{args['model_name']} version {args['model_version']}")

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer every request; the rows of all requests go through the graph together."""
        parts = [[pb_utils.get_input_tensor_by_name(one, name).as_numpy() for name in self._inputs] for one in requests]
        feed = {name: np.concatenate([part[column] for part in parts]) for column, name in enumerate(self._inputs)}
        wanted = [name for name in self._outputs if any(name in one.requested_output_names() for one in requests)]
        rows = self._run(feed, wanted)
        responses = []
        start = 0
        for arrays in parts:
            stop = start + len(arrays[0])
            tensors = [pb_utils.Tensor(name, np.ascontiguousarray(rows[name][start:stop])) for name in wanted]
            responses.append(pb_utils.InferenceResponse(output_tensors=tensors))
            start = stop
        return responses

    def _run(self, feed: dict[str, np.ndarray], outputs: list[str]) -> dict[str, np.ndarray]:
        return dict(zip(outputs, self._session.run(outputs, feed), strict=True))

    def _check(self, path: Path, who: str) -> None:
        known = np.load(path)
        answer = self._run({name: known[name] for name in self._inputs}, self._outputs)
        difference = float(np.max([np.abs(answer[name] - known[name]).max() for name in self._outputs]))
        if not difference <= KNOWN_TOLERANCE:
            raise pb_utils.TritonModelException(f"{who} answers a known question wrongly: off by {difference:.3g}")
