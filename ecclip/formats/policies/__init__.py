"""What a shop decides about its catalog, as the stages hand it on."""

__all__ = ["age", "options"]
