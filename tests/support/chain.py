"""Run the catalog's stages one after another on a dump, wired as the pipeline wires them."""

from __future__ import annotations

import importlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from ecclip.core import Report
from ecclip.nights import CORRECTIONS, EXPECTATIONS, TAXONOMIES
from ecclip.pipeline import STEPS, stage_model, stages_of

CHAIN = [name for name in stages_of("nightly_catalog", room="catalog") if not STEPS[name].external]
# the pipeline's places, by the names that they have below the work folder of a test
PLACES = {
    "nights/{night}/dump": "dump",
    "nights/{night}/pairs": "pairs",
    "nights/{previous}/land": "previous_land",
    "snapshots/{previous}": "previous",
    EXPECTATIONS: "expectations",
    CORRECTIONS: "corrections",
    TAXONOMIES: "taxonomies",
    **{STEPS[name].output: name for name in CHAIN},
}
# rows in one partition: the least work, where how they are divided is not the point
ONE_PART, TWO_PARTS = (
    {name: {"parts": parts} for name in CHAIN if "parts" in stage_model(name).model_fields} for parts in (1, 2)
)


@contextmanager
def _moved(inputs: dict[str, Path], folder: Path) -> Iterator[dict[str, Path]]:
    """Yield the inputs of a stage as they lie in a folder of their own, by hard links."""
    for parameter, path in inputs.items():
        shutil.copytree(path, folder / parameter, copy_function=os.link)
    yield {parameter: folder / parameter for parameter in inputs}
    shutil.rmtree(folder)


def stage_function(name: str) -> Callable[..., Report]:
    """Return the function of a stage."""
    module, function = STEPS[name].function.split(":")
    return getattr(importlib.import_module(module), function)


def chain_inputs(name: str, work: Path) -> dict[str, Path]:
    """Return the inputs of a stage below a folder where :func:`run_chain` has run; what it left out is empty."""
    places = {parameter: work / PLACES[template] for parameter, template in STEPS[name].inputs.items()}
    return {parameter: place if place.is_dir() else work / "none" for parameter, place in places.items()}


def run_chain(
    work: Path,
    dump: Path,
    *,
    until: str = "publish",
    previous: Path | None = None,
    pairs: Path | None = None,
    previous_land: Path | None = None,
    gate: bool = True,
    alone: bool = False,
    **configs: dict[str, Any],
) -> Path:
    """Run land ... ``until`` into folders of ``work`` named after the stages and return the last one's output.

    Rows are in one partition unless ``configs`` say more. Without ``gate`` the check is left out, which saves the
    seconds of Great Expectations. ``pairs`` goes to publish.
    With ``alone`` a stage gets its inputs in a folder with nothing else: whatever else it looked for is not there.
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
        "expectations": empty,
        "corrections": empty,
        "taxonomies": empty,
    }
    places |= {name: work / name for name in CHAIN}
    if not gate:
        places["check"] = empty
    for name in CHAIN:
        if name == "check" and not gate:
            continue
        inputs = {parameter: places[PLACES[template]] for parameter, template in STEPS[name].inputs.items()}
        config = stage_model(name).model_validate(ONE_PART.get(name, {}) | configs.get(name, {}))
        with _moved(inputs, work / f"alone-{name}") if alone else nullcontext(inputs) as given:
            stage_function(name)(cfg=config, **given, output=places[name])
        if name == until:
            break
    return places[until]
