"""A python model that runs one ONNX graph with onnxruntime, the rows of all requests of a call together.

Runs in the serving environment: numpy 1.26, onnxruntime. The version folder holds ``model.onnx``, ``known.npz`` and
``onnx_graph.py``, by which ecclip runs a graph everywhere.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils
from onnx_graph import KNOWN_TOLERANCE, Graph


class TritonPythonModel:
    """One graph; version N of this model belongs to version N of the entry model."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the graph and compare its answer to a known one."""
        if int(np.__version__.split(".")[0]) >= 2:
            # this backend reads numpy 2 arrays silently wrong
            raise pb_utils.TritonModelException(f"the serving environment needs numpy < 2, not {np.__version__}")
        config = json.loads(args["model_config"])
        folder = Path(args["model_repository"]) / args["model_version"]
        self._graph = Graph(folder / "model.onnx", int(config["parameters"]["threads"]["string_value"]))
        difference = self._graph.difference(np.load(folder / "known.npz"))
        if not difference <= KNOWN_TOLERANCE:
            who = f"{args['model_name']} version {args['model_version']}"
            raise pb_utils.TritonModelException(f"{who} answers a known question wrongly: off by {difference:.3g}")

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer every request; the rows of all requests go through the graph together."""
        graph = self._graph
        parts = [[pb_utils.get_input_tensor_by_name(one, name).as_numpy() for name in graph.inputs] for one in requests]
        feed = {name: np.concatenate([part[column] for part in parts]) for column, name in enumerate(graph.inputs)}
        wanted = [name for name in graph.outputs if any(name in one.requested_output_names() for one in requests)]
        rows = graph.run(feed, wanted)
        responses = []
        start = 0
        for arrays in parts:
            stop = start + len(arrays[0])
            tensors = [pb_utils.Tensor(name, np.ascontiguousarray(rows[name][start:stop])) for name in wanted]
            responses.append(pb_utils.InferenceResponse(output_tensors=tensors))
            start = stop
        return responses
