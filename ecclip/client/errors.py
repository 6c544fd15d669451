"""What Triton's client library raises, as the errors of :mod:`ecclip.errors`."""

from __future__ import annotations

from tritonclient.utils import InferenceServerException

from ..errors import ClientError, DeadlineExceeded, NotLoaded, Overloaded, Rejected, Unavailable

RETRIED = (Unavailable, Overloaded)


def from_triton(error: InferenceServerException, address: str) -> ClientError:
    """Return the drawn error of what the client library raised."""
    status, message = str(error.status()), str(error.message())
    if status == "StatusCode.DEADLINE_EXCEEDED" or "timeout expired" in message.lower():
        return DeadlineExceeded(
            "no answer in time",
            value=address,
            limit=message,
            next_step="ask again, or give more time: ClientOptions(timeout_s=...)",
        )
    if "larger than max" in message.lower():  # the same status as of a full queue, but it will not fit later either
        return Rejected(
            "a message is larger than the channel takes",
            value=address,
            limit=message,
            next_step="send fewer listings per message: ClientOptions(max_batch=...)",
        )
    if "exceeds maximum queue size" in message.lower() or status == "StatusCode.RESOURCE_EXHAUSTED":
        return Overloaded(
            "the server's queue is full", value=address, limit=message, next_step="ask again later, or ask less at once"
        )
    if "protocol is restricted" in message.lower():
        return Rejected(
            "the server wants a token",
            value=address,
            limit=message,
            next_step="give it the server's: ClientOptions(token=...)",
        )
    if status == "StatusCode.NOT_FOUND":  # of a server that has just started, until what is live is loaded
        return NotLoaded(
            "the server does not have the model, or has not loaded it yet",
            value=address,
            limit=message,
            next_step="see whether something is deployed: ecclip status; or correct ClientOptions(model=...)",
        )
    if status == "StatusCode.UNAVAILABLE":
        return Unavailable(
            "the server does not answer",
            value=address,
            limit=message,
            next_step="correct the address, or see whether it runs: ecclip status",
        )
    return Rejected(
        "the server refused the question",
        value=message,
        next_step="correct the question: value is what the server says",
    )
