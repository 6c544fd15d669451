"""The facts of a night from its dump, without the check that judges them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from chain import run_chain

from ecclip.catalog.gate.facts import measured, night_facts
from ecclip.catalog.gate.history import NightFacts
from ecclip.catalog.spark.session import spark_session


def facts_of(work: Path, dump: Path, **chain: Any) -> NightFacts:
    """Land and ingest a dump into folders of ``work``; ``chain`` are options of ``run_chain``."""
    ingested = run_chain(work, dump, until="ingest", **chain)
    return night_facts(measured(spark_session(2, ingested), ingested), ingested)
