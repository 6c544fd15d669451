"""Errors of the towers; a tree of its own, because towers are used where pydantic is not installed."""

from __future__ import annotations


class ModelError(ValueError):
    """A tower cannot be built, saved or loaded: what is wrong, the value, the limit, the next step."""

    def __init__(self, what: str, *, value: object = None, limit: object = None, next_step: str = "") -> None:
        self.what, self.value, self.limit, self.next_step = what, value, limit, next_step
        labelled = (("value", value), ("limit", limit), ("next", next_step or None))
        super().__init__("; ".join([what, *(f"{label}: {text}" for label, text in labelled if text is not None)]))
