"""From a messy dump to a clean, grouped, published snapshot."""

from ecclip.catalog._check import CheckConfig, check
from ecclip.catalog._clean import CLEAN_COLUMNS, CleanConfig, clean
from ecclip.catalog._contract import contract_table
from ecclip.catalog._group import GroupConfig, group
from ecclip.catalog._ingest import IngestConfig, ingest
from ecclip.catalog._land import LandConfig, land
from ecclip.catalog._mapping import map_dump
from ecclip.catalog._publish import PublishConfig, publish
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
    "check",
    "clean",
    "contract_table",
    "group",
    "ingest",
    "land",
    "map_dump",
    "prepare_spark",
    "publish",
    "trace_listing",
]
