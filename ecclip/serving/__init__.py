"""A bundle to a model repository, blessed and live, and the embedded Triton server. Imports no torch.

``golden`` and ``comparison`` hold any server's answers against a bundle's golden listings.
"""

from ecclip.serving import comparison, golden
from ecclip.serving.answering.stage import AnswersConfig, answers
from ecclip.serving.deploy.deployment import DeployConfig, Deployment
from ecclip.serving.deploy.examination import Blessing
from ecclip.serving.deploy.platforms import Target
from ecclip.serving.deploy.replicas import Reconciled
from ecclip.serving.deploy.repository import Repository
from ecclip.serving.deploy.steps import (
    bless,
    blessed_version,
    go_live,
    live_version,
    reconcile_servers,
    require_answering,
    require_reconciled,
    roll_back,
    served,
    stage_bundle,
    watch_servers,
)
from ecclip.serving.engine.config import EngineConfig
from ecclip.serving.engine.stage import build_engines
from ecclip.serving.server.access import client_options
from ecclip.serving.server.embedded import EmbeddedServer, embedded_address

__all__ = [
    "AnswersConfig",
    "Blessing",
    "DeployConfig",
    "Deployment",
    "EmbeddedServer",
    "EngineConfig",
    "Reconciled",
    "Repository",
    "Target",
    "answers",
    "bless",
    "blessed_version",
    "build_engines",
    "client_options",
    "comparison",
    "embedded_address",
    "go_live",
    "golden",
    "live_version",
    "reconcile_servers",
    "require_answering",
    "require_reconciled",
    "roll_back",
    "served",
    "stage_bundle",
    "watch_servers",
]
