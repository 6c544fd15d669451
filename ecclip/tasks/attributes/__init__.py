"""Attributes beyond the heads: which apply to a category, and open values read out of titles and descriptions."""

__all__ = ["applicable", "from_rows", "open_values", "opened", "reported"]
