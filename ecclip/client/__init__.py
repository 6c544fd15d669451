"""Ask the service over gRPC: typed questions and answers, sync and async.

Imports are relative here: the wheel ecclip-client has these files, and those that they import, under another name
(``packaging/client``).
"""

from ..errors import ClientError, ConfigError, DeadlineExceeded, NotLoaded, Overloaded, Rejected, Unavailable
from .clients import AsyncProductClient, ProductClient
from .options import ClientOptions
from .security import TLS, TOKEN_NAME
from .types import IMAGE_BYTES, MAX_BATCH, TEXT_BYTES, Answer, AttributeAnswer, Product, SuggestedCategory
from .zero_shot import Words, ZeroShot, choose, choose_category

__all__ = [
    "IMAGE_BYTES",
    "MAX_BATCH",
    "TEXT_BYTES",
    "TLS",
    "TOKEN_NAME",
    "Answer",
    "AsyncProductClient",
    "AttributeAnswer",
    "ClientError",
    "ClientOptions",
    "ConfigError",
    "DeadlineExceeded",
    "NotLoaded",
    "Overloaded",
    "Product",
    "ProductClient",
    "Rejected",
    "SuggestedCategory",
    "Unavailable",
    "Words",
    "ZeroShot",
    "choose",
    "choose_category",
]
