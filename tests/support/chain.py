"""Run the catalog's stages one after another on a dump."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ecclip import catalog

INPUTS = {
    "land": ["dump", "previous_land"],
    "ingest": ["land"],
    "check": ["ingest", "previous"],
    "clean": ["land", "ingest", "check", "previous"],
    "group": ["clean", "previous"],
    "publish": ["ingest", "check", "clean", "group", "pairs", "previous"],
}


def run_chain(
    work: Path,
    dump: Path,
    *,
    until: str = "publish",
    previous: Path | None = None,
    pairs: Path | None = None,
    previous_land: Path | None = None,
    gate: bool = True,
    **configs: dict[str, Any],
) -> Path:
    """Run land ... ``until`` into folders of ``work`` named after the stages and return the last one's output.

    Without ``gate`` the check is left out, which saves the seconds of Great Expectations. ``pairs`` goes to publish.
    """
    work.mkdir(parents=True, exist_ok=True)
    empty = work / "none"
    empty.mkdir(exist_ok=True)
    (empty / "EMPTY").touch()
    places = {
        "dump": dump,
        "previous": previous or empty,
        "previous_land": previous_land or empty,
        "pairs": pairs or empty,
    }
    places |= {name: work / name for name in INPUTS}
    if not gate:
        places["check"] = empty
    for name, inputs in INPUTS.items():
        if name == "check" and not gate:
            continue
        config = getattr(catalog, f"{name.title()}Config").model_validate(configs.get(name, {}))
        getattr(catalog, name)(config, *[places[key] for key in inputs], places[name])
        if name == until:
            break
    return places[until]
