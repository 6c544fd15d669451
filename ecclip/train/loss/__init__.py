"""Contrastive losses with the catalog as label, with their gradients, computed by blocks of rows."""

__all__ = ["contrastive", "labels", "sigmoid", "similarity"]
