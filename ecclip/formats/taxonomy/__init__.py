"""A taxonomy of categories as data: the type, the YAML that people write, and how a shop's categories fit it."""

__all__ = ["prompts", "reading", "tree"]
