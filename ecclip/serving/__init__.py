"""A bundle to a model repository, blessed and live, and the embedded Triton server. Imports no torch."""

from ecclip.serving.deploy.repository import Live, Repository, Staged
from ecclip.serving.deploy.steps import (
    Blessing,
    DeployConfig,
    Deployment,
    bless,
    blessed_version,
    go_live,
    live_version,
    reconcile_server,
    roll_back,
    served,
    stage_bundle,
)
from ecclip.serving.server.embedded import EmbeddedServer, embedded_address

__all__ = [
    "Blessing",
    "DeployConfig",
    "Deployment",
    "EmbeddedServer",
    "Live",
    "Repository",
    "Staged",
    "bless",
    "blessed_version",
    "embedded_address",
    "go_live",
    "live_version",
    "reconcile_server",
    "roll_back",
    "served",
    "stage_bundle",
]
