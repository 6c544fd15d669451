"""Ask the service over gRPC: typed questions and answers, sync and async."""

from ecclip.client.clients import AsyncProductClient, ClientOptions, ProductClient
from ecclip.client.security import TLS, TOKEN_NAME
from ecclip.client.types import IMAGE_BYTES, MAX_BATCH, TEXT_BYTES, Answer, Product
from ecclip.errors import ClientError, DeadlineExceeded, Overloaded, Rejected, Unavailable

__all__ = [
    "IMAGE_BYTES",
    "MAX_BATCH",
    "TEXT_BYTES",
    "TLS",
    "TOKEN_NAME",
    "Answer",
    "AsyncProductClient",
    "ClientError",
    "ClientOptions",
    "DeadlineExceeded",
    "Overloaded",
    "Product",
    "ProductClient",
    "Rejected",
    "Unavailable",
]
