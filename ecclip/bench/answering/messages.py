"""Questions as they go over the wire, made before anything is timed, and what an answer on the wire says."""

from __future__ import annotations

import json
import pickle
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from tritonclient.grpc import service_pb2 as protocol
from tritonclient.utils import serialize_byte_tensor

from ecclip.client import ClientOptions, Product
from ecclip.formats.service import INPUTS, OUTPUTS

Wire = Literal["grpc", "http"]
ANSWERED = "answered"
_LENGTH = 4  # bytes before each element of a BYTES tensor


def write_messages(products: Sequence[Product], path: Path) -> None:
    """Keep listings with photo and title as messages of one listing each, for either wire, and as they are."""
    messages = {"grpc": [_to_triton(one) for one in products], "http": [_to_form(one) for one in products]}
    path.write_bytes(pickle.dumps(messages | {"products": list(products)}))


def read_messages(path: Path) -> dict[str, list[Any]]:
    """Return what :func:`write_messages` kept; the file is a benchmark's own."""
    found: dict[str, list[Any]] = pickle.loads(path.read_bytes())
    return found


def outcome_of_triton(content: bytes) -> str:
    """Return the lineage id of an answer of the service, or its error after an exclamation mark."""
    response = protocol.ModelInferResponse.FromString(content)
    names = [one.name for one in response.outputs]
    found = {name: response.raw_output_contents[names.index(name)][_LENGTH:] for name in ("LINEAGE", "ERROR")}
    return f"!{found['ERROR'].decode()}" if found["ERROR"] else found["LINEAGE"].decode()


def outcome_of_http(status: int, content: bytes) -> str:
    """Return ``answered``, or what is wrong after an exclamation mark."""
    if status != 200:
        return f"!status {status}"
    return ANSWERED if "DECISION" in json.loads(content) else "!no decision"


def _to_triton(product: Product) -> bytes:
    message = protocol.ModelInferRequest(model_name="product")
    message.parameters["timeout"].int64_param = int(1e6 * ClientOptions().timeout_s)  # microseconds
    for name, value in (("IMAGE", product.image or b""), ("TITLE", (product.title or "").encode())):
        declared = next(one for one in INPUTS if one.name == name)
        message.inputs.add(name=name, datatype=declared.datatype, shape=[1, declared.size])
        content = serialize_byte_tensor(np.array([[value]], dtype=np.object_))
        message.raw_input_contents.append(content.item())
    for output in OUTPUTS:
        message.outputs.add(name=output.name)
    data: bytes = message.SerializeToString()
    return data


def _to_form(product: Product) -> tuple[str, bytes]:
    """Return content type and body of a form with a file, as a browser or a client library sends it."""
    boundary = uuid.uuid4().hex
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="title"\r\n\r\n{product.title}\r\n--{boundary}\r\n'
    head += 'Content-Disposition: form-data; name="image"; filename="photo.jpg"\r\nContent-Type: image/jpeg\r\n\r\n'
    body = head.encode() + (product.image or b"") + f"\r\n--{boundary}--\r\n".encode()
    return f"multipart/form-data; boundary={boundary}", body
