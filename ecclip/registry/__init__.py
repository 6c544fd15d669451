"""A bundle becomes a registered version: run, tags, gate verdict, alias, data version; nothing without a reason.

Built on MLflow (runs, model versions, aliases) and DVC (data versions). MLflow is imported when first needed.
"""

from ecclip.registry.audit import last_told, told_champions
from ecclip.registry.bundles import stored_bundle
from ecclip.registry.data_versions import dvc_version, record_version
from ecclip.registry.gate import GateConfig, MetricGate, Verdict, check_gate
from ecclip.registry.lineage import trace, trace_back
from ecclip.registry.promotion import (
    ask_for,
    complete_champion,
    end_challenge,
    enter_again,
    follow_answers,
    is_entered,
    last_champion,
    refuse_champion,
    set_champion,
)
from ecclip.registry.registration import Registered, register
from ecclip.registry.reigning import deployed, entered, live_record, reigning
from ecclip.registry.remote.push import push_night
from ecclip.registry.remote.restoring import restore_snapshot
from ecclip.registry.remote.transfer import fetch_outputs, push_outputs
from ecclip.registry.starts import ReferenceConfig, StartConfig, reference, start
from ecclip.registry.store import has_store
from ecclip.registry.tracking.follower import follow
from ecclip.registry.tracking.tracked import deliver_all
from ecclip.registry.versions import (
    ModelRef,
    all_versions,
    champion,
    model_version,
    replaced_by,
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
    "all_versions",
    "ask_for",
    "champion",
    "check_gate",
    "complete_champion",
    "deliver_all",
    "deployed",
    "dvc_version",
    "end_challenge",
    "enter_again",
    "entered",
    "fetch_outputs",
    "follow",
    "follow_answers",
    "has_store",
    "is_entered",
    "last_champion",
    "last_told",
    "live_record",
    "model_version",
    "push_night",
    "push_outputs",
    "record_version",
    "reference",
    "refuse_champion",
    "register",
    "reigning",
    "replaced_by",
    "restore_snapshot",
    "set_champion",
    "start",
    "stored_bundle",
    "tag_version",
    "told_champions",
    "trace",
    "trace_back",
    "undecided",
    "version_of",
]
