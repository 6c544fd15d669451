"""The gate before cleaning and before publishing: declared rules and shift tests against the last good nights."""

__all__ = ["before_publishing", "history", "stage"]
