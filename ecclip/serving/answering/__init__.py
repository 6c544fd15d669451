"""Answers of a bundle by its own code: of the entry model, of a whole catalog, and of MLflow's flavour."""

__all__ = ["entry"]
