"""From a messy dump to a clean, grouped, published snapshot.

A name is imported when it is first asked for: a stage, and each Python worker of Spark, loads what it uses and no more.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ecclip.catalog._check import CheckConfig, check
    from ecclip.catalog._clean import CLEAN_COLUMNS, CleanConfig, clean
    from ecclip.catalog._contract import contract_table
    from ecclip.catalog._extract import extract
    from ecclip.catalog._group import GroupConfig, group
    from ecclip.catalog._ingest import IngestConfig, ingest
    from ecclip.catalog._inventory import take_inventory
    from ecclip.catalog._land import LandConfig, land
    from ecclip.catalog._mapping import map_dump
    from ecclip.catalog._mapping_reference import mapping_reference
    from ecclip.catalog._publish import PublishConfig, publish
    from ecclip.catalog._source import SourceConfig, locate, why_not_ready
    from ecclip.catalog._spark_classes import prepare_spark
    from ecclip.catalog._trace import trace_listing

__all__ = [
    "CLEAN_COLUMNS",
    "CheckConfig",
    "CleanConfig",
    "GroupConfig",
    "IngestConfig",
    "LandConfig",
    "PublishConfig",
    "SourceConfig",
    "check",
    "clean",
    "contract_table",
    "extract",
    "group",
    "ingest",
    "land",
    "locate",
    "map_dump",
    "mapping_reference",
    "prepare_spark",
    "publish",
    "take_inventory",
    "trace_listing",
    "why_not_ready",
]

_MODULES = {
    "_check": ("CheckConfig", "check"),
    "_clean": ("CLEAN_COLUMNS", "CleanConfig", "clean"),
    "_contract": ("contract_table",),
    "_extract": ("extract",),
    "_group": ("GroupConfig", "group"),
    "_ingest": ("IngestConfig", "ingest"),
    "_inventory": ("take_inventory",),
    "_land": ("LandConfig", "land"),
    "_mapping": ("map_dump",),
    "_mapping_reference": ("mapping_reference",),
    "_publish": ("PublishConfig", "publish"),
    "_source": ("SourceConfig", "locate", "why_not_ready"),
    "_spark_classes": ("prepare_spark",),
    "_trace": ("trace_listing",),
}


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names:
            return getattr(importlib.import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
