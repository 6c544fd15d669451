"""A night's towers, heads, graphs and golden listings become one bundle, checked against torch."""

__all__ = ["inprocess", "shipped_code", "stage"]
