"""The stage ``train``: the engine between published folders, and what it tells about itself."""

__all__ = ["stage", "tracking"]
