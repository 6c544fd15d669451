"""Linear heads on embeddings: fitted, calibrated, and put into one matrix a modality."""

__all__ = ["fitting", "matrix"]
