"""What the report says of age restriction beside its heads: whether backgrounds are shortcuts."""

__all__ = ["background"]
