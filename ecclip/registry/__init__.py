"""A bundle becomes a registered version: run, tags, gate verdict, alias, data version; nothing without a reason.

Built on MLflow (runs, model versions, aliases) and DVC (data versions). MLflow is imported when first needed.
"""

from ecclip.registry.bundles import stored_bundle
from ecclip.registry.data_versions import dvc_version, record_version
from ecclip.registry.gate import GateConfig, MetricGate, Verdict, check_gate
from ecclip.registry.lineage import trace, trace_back
from ecclip.registry.promotion import (
    ask_for,
    complete_champion,
    end_challenge,
    last_champion,
    refuse_champion,
    set_champion,
)
from ecclip.registry.registration import Registered, register
from ecclip.registry.reigning import deployed, reigning
from ecclip.registry.remote.push import push_night
from ecclip.registry.remote.transfer import fetch_outputs, push_outputs
from ecclip.registry.restoring import restore_snapshot
from ecclip.registry.starts import ReferenceConfig, StartConfig, reference, start
from ecclip.registry.store import has_store
from ecclip.registry.tracking.follower import follow
from ecclip.registry.tracking.tracked import deliver_all
from ecclip.registry.versions import (
    ModelRef,
    champion,
    model_version,
    tag_version,
    undecided,
    version_of,
)

__all__ = [
    "GateConfig",
    "MetricGate",
    "ModelRef",
    "ReferenceConfig",
    "Registered",
    "StartConfig",
    "Verdict",
    "ask_for",
    "champion",
    "check_gate",
    "complete_champion",
    "deliver_all",
    "deployed",
    "dvc_version",
    "end_challenge",
    "fetch_outputs",
    "follow",
    "has_store",
    "last_champion",
    "model_version",
    "push_night",
    "push_outputs",
    "record_version",
    "reference",
    "refuse_champion",
    "register",
    "reigning",
    "restore_snapshot",
    "set_champion",
    "start",
    "stored_bundle",
    "tag_version",
    "trace",
    "trace_back",
    "undecided",
    "version_of",
]
