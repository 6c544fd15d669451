"""A night's towers, heads, graphs and golden listings become one bundle, checked against torch."""

from ecclip.serving.export.shipped_code import ship_code

__all__ = ["inprocess", "ship_code", "stage"]
