"""Ingest: text of any format becomes typed rows; rows that cannot be typed are quarantined with a reason."""

__all__ = ["stage"]
