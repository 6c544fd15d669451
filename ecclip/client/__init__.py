"""Ask the service over gRPC: typed questions and answers, sync and async."""

from ecclip.client.clients import AsyncProductClient, ClientOptions, ProductClient
from ecclip.client.types import Answer, Product
from ecclip.errors import ClientError, DeadlineExceeded, Overloaded, Rejected, Unavailable

__all__ = [
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
