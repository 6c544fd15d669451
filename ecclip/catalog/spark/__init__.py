"""The one Spark session of a process, the Java it runs on, and output whose bytes follow from its rows."""

__all__ = [
    "classes",
    "parts",
    "session",
]
