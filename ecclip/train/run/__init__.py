"""The stage ``train``: runs the engine between published folders and tracks its metrics."""

__all__ = ["stage"]
