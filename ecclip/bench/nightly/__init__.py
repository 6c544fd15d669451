"""The parts of ``ecclip bench catalog``: nights through real stages, twins, and the quality of groups."""

__all__ = ["group_quality", "image_stage", "ingest_twin", "nights", "planted", "texts"]
