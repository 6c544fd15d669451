"""Cells of sets with photos: labels from photo and title, a shift of domain, and products by photos."""

__all__ = ["labels", "products", "shift"]
