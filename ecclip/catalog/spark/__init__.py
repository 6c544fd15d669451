"""The one Spark session of a process, the Java it runs on, and output whose bytes follow from its rows."""

__all__ = ["batches", "classes", "output", "parts", "session"]
