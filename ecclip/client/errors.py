"""What can go wrong between a client and the service.

ServiceError
└── ClientError            a question was not answered
    ├── Unavailable        no server, or it is going away: tried again, then raised
    ├── Overloaded         the queue is full: tried again after a pause, then raised
    ├── DeadlineExceeded   no answer in time; not tried again, the time is gone
    └── Rejected           the question itself is wrong: too large, malformed, no such model
"""

from __future__ import annotations

from tritonclient.utils import InferenceServerException

from ecclip.core import ServiceError


class ClientError(ServiceError):
    """A question was not answered."""


class Unavailable(ClientError):
    """There is no server at the address, or it is going away."""


class Overloaded(ClientError):
    """The server's queue is full."""


class DeadlineExceeded(ClientError):
    """The answer did not come in time."""


class Rejected(ClientError):
    """The question is too large or malformed, or there is no such model."""


RETRIED = (Unavailable, Overloaded)


def from_triton(error: InferenceServerException, address: str) -> ClientError:
    """Return the drawn error of what the client library raised."""
    status, message = str(error.status()), str(error.message())
    if status == "StatusCode.DEADLINE_EXCEEDED" or "timeout expired" in message.lower():
        return DeadlineExceeded("no answer in time", value=address, limit=message)
    if "exceeds maximum queue size" in message.lower() or status == "StatusCode.RESOURCE_EXHAUSTED":
        return Overloaded("the server's queue is full", value=address, limit=message)
    if status == "StatusCode.UNAVAILABLE":
        return Unavailable("the server does not answer", value=address, limit=message, next_step="ecclip status")
    return Rejected("the server refused the question", value=message)
