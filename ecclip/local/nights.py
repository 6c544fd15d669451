"""The dumps of the demo: the sample's nights, and separate workspaces: of a shop's own nights, of a deployment."""

from __future__ import annotations

import os
from pathlib import Path
from typing import cast

from rich.console import Console

from ecclip.catalog.source.location import SourceConfig
from ecclip.core import ConfigError, settings, write_atomic
from ecclip.pipeline import stage_config
from ecclip.sample import SampleConfig, generate


def sample_config(nights: int | None = None, listings: int | None = None, seed: int | None = None) -> SampleConfig:
    """Return the section ``sample`` of params.yaml, overridden by what is given."""
    cfg = cast(SampleConfig, stage_config("sample"))
    options = {"nights": nights, "listings": listings, "seed": seed}
    given = {key: value for key, value in options.items() if value is not None}
    return SampleConfig.model_validate(cfg.model_dump() | given)


def sample_nights(console: Console, nights: int) -> list[str]:
    """Create the missing nights of the sample dump, and return all of them.

    Raises:
        ConfigError: the workspace's nights come from elsewhere: they and the sample's would be compared.
    """
    source = cast(SourceConfig, stage_config("extract"))
    if source.where != SourceConfig().where or source.mapping is not None:
        raise ConfigError(
            "this workspace does not use the sample",
            value=source.where,
            next_step="give DUMP, or run the sample in a workspace whose params.yaml leaves source as it was",
        )
    console.print(f"sample dump: {nights} nights below {settings().work / 'dumps'}")
    return [path.name for path in generate(sample_config(nights=nights), settings().work)]


def enter_workspace(name: str) -> None:
    """Make a workspace of its own for a shop, with the project's parameters, and go on in it."""
    tools, shop = settings().work / "env", settings().work / "shops" / name
    make_workspace(shop)
    if tools.is_dir():
        _link(shop / "work" / "env", tools, settings().workspace.resolve())
    os.environ["ECCLIP_WORKSPACE"] = str(shop)
    settings.cache_clear()


def make_workspace(folder: Path, own_parameters: bool = False, remote: str = "") -> None:
    """Make a workspace with the code, DAGs and parameters of this one but data of its own; what is there stays.

    Code and parameters are links, so that they change with this one's; those that lead nowhere, since one of the two
    was moved, are renewed. DVC works there without git.

    Args:
        folder: where it is made.
        own_parameters: give it a copy of params.yaml, which its owner may change.
        remote: URL or full path of its DVC remote, unless its config.local says one.
    """
    home = settings().workspace.resolve()
    (folder / ".dvc").mkdir(parents=True, exist_ok=True)
    for link in ("dags", "ecclip", "triton_models", "dvc.yaml", "params.yaml", ".dvcignore"):
        if (home / link).exists():
            _link(folder / link, home / link, home)
    if own_parameters and (folder / "params.yaml").is_symlink():
        write_atomic(folder / "params.yaml", (home / "params.yaml").read_text())
    if (home / ".dvc" / "config").is_file():
        text = (home / ".dvc" / "config").read_text()
        if "no_scm" not in text:  # a home without git has this setting already, and DVC refuses a duplicate
            text = text.replace("[core]", "[core]\n    no_scm = true")
        write_atomic(folder / ".dvc" / "config", text)
    if remote and not (folder / ".dvc" / "config.local").exists():
        named = f"[core]\n    remote = storage\n['remote \"storage\"']\n    url = {remote}\n"
        write_atomic(folder / ".dvc" / "config.local", named, mode=0o600)
    (folder / "work").mkdir(exist_ok=True)


def _link(link: Path, target: Path, home: Path) -> None:
    """Link to what belongs to ``home``: relative from below it, as both move together; one to nowhere is renewed."""
    if link.exists():
        return
    link.unlink(missing_ok=True)
    inside = link.parent.resolve().is_relative_to(home)
    link.symlink_to(os.path.relpath(target, link.parent.resolve()) if inside else target)
