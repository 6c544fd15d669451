"""Publish: listings with their groups and splits, quarantine, statistics and training shards as one snapshot."""

__all__ = ["stage", "tracing"]
