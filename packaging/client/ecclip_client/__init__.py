"""Ask the service of ecclip over gRPC: typed questions and answers, sync and async."""

from ecclip_client.client import *  # noqa: F403 - what there is to name is named once, in ecclip/client
from ecclip_client.client import __all__ as __all__
