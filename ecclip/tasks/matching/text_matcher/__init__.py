"""A fine-tuned text matcher: the text tower as a cross-encoder. Imports torch; only who asks for it pays for it."""

__all__ = ["matcher"]
