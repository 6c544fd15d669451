"""Linear heads on embeddings: fitted, calibrated, and put into one matrix per modality."""

__all__ = ["calibration", "fitting", "linear", "matrix", "reading"]
