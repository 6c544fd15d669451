"""Group-aware contrastive losses with their gradients, computed by blocks of rows."""

__all__ = ["contrastive", "sigmoid", "similarity"]
