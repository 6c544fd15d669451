"""Ingest: text of any format becomes typed rows; what cannot is quarantined with its reason."""

__all__ = ["stage"]
