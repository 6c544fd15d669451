"""Towers over a snapshot: the stages that embed listings, for the tasks and for the mismatch score."""

import ecclip.model  # noqa: F401 - says how threads wait, which must be said before torch is imported

__all__ = ["stage"]
