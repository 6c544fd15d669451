"""A real gRPC server of Triton's protocol that answers or refuses as a test wants, and keeps what it was asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import numpy as np
from tritonclient.grpc import service_pb2 as protocol
from tritonclient.utils import deserialize_bytes_tensor, serialize_byte_tensor

Columns = dict[str, np.ndarray]


@dataclass
class Question:
    """One message: its inputs by name, BYTES [B, 1] each as a list, the shapes and types said, the outputs wanted."""

    inputs: dict[str, list[bytes]]
    declared: list[tuple[str, str, list[int]]]
    outputs: list[str]

    @property
    def rows(self) -> int:
        """Return the number of listings."""
        return self.declared[0][2][0]


@dataclass
class InferenceServer:
    """Gives ``answer`` of a question as the outputs by name, or refuses with ``refusal``: a status and a message."""

    answer: Callable[[Question], Columns]
    refusal: tuple[grpc.StatusCode, str] | None = None
    asked: list[Question] = field(default_factory=list)
    address: str = ""

    def infer(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Answer one message."""
        raw = [list(deserialize_bytes_tensor(content)) for content in request.raw_input_contents]
        self.asked.append(
            Question(
                dict(zip((one.name for one in request.inputs), raw, strict=True)),
                [(one.name, one.datatype, list(one.shape)) for one in request.inputs],
                [one.name for one in request.outputs],
            )
        )
        if self.refusal:
            context.abort(*self.refusal)
        response = protocol.ModelInferResponse(model_name=request.model_name)
        for name, column in self.answer(self.asked[-1]).items():
            is_text = column.dtype == np.object_
            kind = "BYTES" if is_text else "FP32"
            response.outputs.add(name=name, datatype=kind, shape=column.shape)
            data = serialize_byte_tensor(column).item() if is_text else column.astype(np.float32).tobytes()
            response.raw_output_contents.append(data)
        return response


@contextmanager
def inference_server(answer: Callable[[Question], Columns], threads: int = 1) -> Iterator[InferenceServer]:
    """Serve until the block ends, ``threads`` messages at once."""
    server = InferenceServer(answer)
    unlimited = [("grpc.max_receive_message_length", -1)]
    serving = grpc.server(ThreadPoolExecutor(threads), options=unlimited)
    infer = grpc.unary_unary_rpc_method_handler(
        server.infer, protocol.ModelInferRequest.FromString, protocol.ModelInferResponse.SerializeToString
    )
    serving.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("inference.GRPCInferenceService", {"ModelInfer": infer}),)
    )
    server.address = f"127.0.0.1:{serving.add_insecure_port('127.0.0.1:0')}"
    serving.start()
    try:
        yield server
    finally:
        serving.stop(None).wait()
