"""From a messy dump to a clean, grouped, published snapshot."""

from ecclip.catalog._ingest import IngestConfig, ingest
from ecclip.catalog._land import LandConfig, land

__all__ = ["IngestConfig", "LandConfig", "ingest", "land"]
