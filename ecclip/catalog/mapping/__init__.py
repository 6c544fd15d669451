"""Foreign exports by a declared mapping: which column is which field, and how its cells are read."""

__all__ = ["map_dump", "model", "reference"]
