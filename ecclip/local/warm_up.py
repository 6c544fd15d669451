"""The catalog's stages on a dump of eight rows, which load the Spark classes that a night loads.

``python -m ecclip.local.warm_up`` runs in an empty workspace, see :func:`ecclip.catalog.spark.classes.prepare_spark`.
"""

from __future__ import annotations

import sys

from ecclip.core import canonical_json, settings, write_atomic
from ecclip.nights import work_path
from ecclip.pipeline import STEPS, run_stage, stages_of

WARM_UP = (sys.executable, "-m", "ecclip.local.warm_up")
_NIGHT = "2026-01-01"


def main() -> None:
    """Write the dump and run the stages of the room catalog on it, in their order."""
    _write_dump()
    stages = stages_of("nightly_catalog", room="catalog")
    written = {STEPS[name].output for name in stages}
    for name in stages:
        for template in set(STEPS[name].inputs.values()) - written:
            # outputs of other rooms are not needed
            if not STEPS[name].external and not work_path(template, _NIGHT).exists():
                write_atomic(work_path(template, _NIGHT) / "EMPTY", "")
        run_stage(name, _NIGHT)


def _write_dump() -> None:
    dump = settings().work / "dumps" / _NIGHT
    rows = [
        {
            "listing_id": f"l{number}",
            "title": f"Red mug {number // 2}",
            "price": number,
            "category": ["home", "mugs" if number % 2 else "cups"],  # the gate refuses a night of one category
        }
        for number in range(8)
    ]
    lines = "".join(canonical_json(row).replace("\n", "") + "\n" for row in rows)
    write_atomic(dump / "listings.jsonl", lines)
    write_atomic(dump / "_SUCCESS", "")
    write_atomic(settings().workspace / "params.yaml", "{}\n")


if __name__ == "__main__":
    main()
