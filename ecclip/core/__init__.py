"""Settings, the stage contract, atomic files with manifests, errors, clock and logs. Knows no product."""

from ecclip.atomic import (
    canonical_json,
    fsync_path,
    lack_of_space,
    recover_folder,
    replace_folder,
    sha256_bytes,
    sha256_file,
    write_atomic,
)
from ecclip.core.clock import night_of, now, parse_night
from ecclip.core.configuration import RENAMED_SETTINGS, ServingPlatform, Settings, in_workspace, patient, settings
from ecclip.core.display import Terminal, shown, shown_json, shown_markdown
from ecclip.core.fail_points import fail_point
from ecclip.core.fingerprint import fingerprint, remember_code, require_same_code, source_files
from ecclip.core.identity import held_folder
from ecclip.core.locks import folder_lock, holder_of, locked
from ecclip.core.log import bind, bound, configure_logging, get_logger, run_command, track
from ecclip.core.manifests import Manifest, digest_of, has_digest, read_manifest, verify_folder
from ecclip.core.parameters import Parameter, parameters_of
from ecclip.core.private import PRIVATE_UMASK, keep_private, private_file
from ecclip.core.stages import (
    Counts,
    Report,
    StageConfig,
    forget_once_published,
    report_of,
    stage,
)
from ecclip.errors import (
    ConfigError,
    ContractError,
    EcclipError,
    GateError,
    IntegrityError,
    NotReadyError,
    ServiceError,
)

__all__ = [
    "PRIVATE_UMASK",
    "RENAMED_SETTINGS",
    "ConfigError",
    "ContractError",
    "Counts",
    "EcclipError",
    "GateError",
    "IntegrityError",
    "Manifest",
    "NotReadyError",
    "Parameter",
    "Report",
    "ServiceError",
    "ServingPlatform",
    "Settings",
    "StageConfig",
    "Terminal",
    "bind",
    "bound",
    "canonical_json",
    "configure_logging",
    "digest_of",
    "edited",
    "fail_point",
    "fingerprint",
    "folder_lock",
    "forget_once_published",
    "fsync_path",
    "get_logger",
    "has_digest",
    "held_folder",
    "holder_of",
    "in_workspace",
    "keep_private",
    "lack_of_space",
    "locked",
    "night_of",
    "now",
    "parameters_of",
    "parse_night",
    "patient",
    "private_file",
    "read_manifest",
    "recover_folder",
    "remember_code",
    "replace_folder",
    "report_of",
    "require_same_code",
    "run_command",
    "services",
    "settings",
    "sha256_bytes",
    "sha256_file",
    "shown",
    "shown_json",
    "shown_markdown",
    "source_files",
    "stage",
    "track",
    "verify_folder",
    "write_atomic",
]
