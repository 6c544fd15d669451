"""From a messy dump to a clean, grouped, published snapshot."""

from ecclip.catalog._check import CheckConfig, check
from ecclip.catalog._clean import CleanConfig, clean
from ecclip.catalog._ingest import IngestConfig, ingest
from ecclip.catalog._land import LandConfig, land

__all__ = ["CheckConfig", "CleanConfig", "IngestConfig", "LandConfig", "check", "clean", "ingest", "land"]
