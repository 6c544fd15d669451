"""Towers over a snapshot: the stages that embed listings, for the tasks and for the mismatch score."""

__all__ = ["stage"]
