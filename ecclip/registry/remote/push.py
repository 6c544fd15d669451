"""Push versions to the DVC remote beside the workspace, whose lock stays free for those who record or restore."""

from __future__ import annotations

import configparser
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from ecclip.core import ConfigError, ServiceError, get_logger, parse_night, settings, write_atomic
from ecclip.registry.data_versions import lock_entries, run_dvc

_WAIT_S = 180.0  # for another push of the very same; by judgment


def push_night(night: str, stages: Sequence[str]) -> dict[str, Any]:
    """Push what DVC has recorded of a night's stages; return how many outputs, and of which stages.

    Raises:
        ConfigError: the workspace has no remote.
        ServiceError: the remote does not take it; a later call sends what is missing.
    """
    entries = lock_entries(night, stages)
    push_entries(f"{parse_night(night)}-{'-'.join(stages)}"[:120], entries)
    return {"night": night, "outputs": len(_outputs(entries)), "stages": sorted(entries)}


def push_entries(name: str, entries: Mapping[str, Any]) -> None:
    """Push the outputs of entries of dvc.lock by their digests.

    DVC locks a workspace as long as it pushes. So this is done from one that has nothing but their digests, this
    workspace's cache and its remotes: below work/dvc/push, called ``name``.

    Raises:
        ConfigError: the workspace has no remote.
        ServiceError: the remote does not take it.
    """
    folder = settings().work / "dvc" / "push" / name
    write_atomic(folder / ".dvc" / "config", _config(folder / ".dvc"))
    for number, output in enumerate(_outputs(entries)):
        kept = {key: value for key, value in output.items() if key != "path"}
        write_atomic(folder / f"{number}.dvc", yaml.safe_dump({"outs": [{**kept, "path": f"output{number}"}]}))
    pushed = run_dvc(["push"], _WAIT_S, folder)
    if pushed.returncode != 0:
        raise ServiceError(
            "the DVC remote does not take what is pushed",
            value=pushed.stderr.strip()[-500:],
            next_step="see whether the remote can be reached and written (dvc remote list), then run this again",
        )
    get_logger().info("pushed", name=name, outputs=len(_outputs(entries)))


def _outputs(entries: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [output for entry in entries.values() for output in entry.get("outs", ()) if "md5" in output]


def _config(there: Path) -> str:
    """Return the workspace's configuration of DVC as one in the folder ``there`` says it.

    Raises:
        ConfigError: it names no remote, or none is the default.
    """
    home, found = settings().workspace.resolve() / ".dvc", configparser.RawConfigParser()
    found.read([home / "config", home / "config.local"])
    if not found.has_option("core", "remote"):
        raise ConfigError(
            "this workspace has no DVC remote",
            value=home / "config",
            next_step="dvc remote add --default storage <folder or URL>",
        )
    found.set("core", "no_scm", "true")
    found.remove_option("core", "site_cache_dir")  # it is given in the environment
    for section in found.sections():
        for option in {"url", "dir"} & set(found.options(section)):
            found.set(section, option, _from(found.get(section, option), home, there))
    lines = []
    for section in found.sections():
        lines += [f"[{section}]", *(f"    {key} = {value}" for key, value in found.items(section))]
    return "\n".join(lines) + "\n"


def _from(place: str, home: Path, there: Path) -> str:
    """Return a folder that one configuration of DVC names as another one does; full paths and URLs stay."""
    if "://" in place or Path(place).is_absolute():
        return place
    return os.path.relpath((home / place).resolve(), there.resolve())
