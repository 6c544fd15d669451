"""From a bundle to answers: the model repository, blessing, going live and rolling back."""

__all__ = ["activation", "platforms", "repository"]
