"""Clean: texts normalised, photos verified and resized once, boilerplate and placeholders found by frequency."""

__all__ = [
    "photo",
    "photos",
    "stage",
]
