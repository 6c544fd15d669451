"""A bundle to a model repository, blessed and live; the embedded Triton server; the clients.

Importing this room does not import torch: a client stays light.
"""

from ecclip.serving._client import AsyncProductClient, ClientOptions, ProductClient
from ecclip.serving._client_errors import ClientError, DeadlineExceeded, Overloaded, Rejected, Unavailable
from ecclip.serving._deploy import (
    Blessing,
    DeployConfig,
    Deployment,
    bless,
    go_live,
    live_version,
    roll_back,
    stage_version,
)
from ecclip.serving._export import ExportConfig, export
from ecclip.serving._repository import Live, Repository, Staged
from ecclip.serving._server import EmbeddedServer, embedded_address
from ecclip.serving._types import Answer, Product

__all__ = [
    "Answer",
    "AsyncProductClient",
    "Blessing",
    "ClientError",
    "ClientOptions",
    "DeadlineExceeded",
    "DeployConfig",
    "Deployment",
    "EmbeddedServer",
    "ExportConfig",
    "Live",
    "Overloaded",
    "Product",
    "ProductClient",
    "Rejected",
    "Repository",
    "Staged",
    "Unavailable",
    "bless",
    "embedded_address",
    "export",
    "go_live",
    "live_version",
    "roll_back",
    "stage_version",
]
