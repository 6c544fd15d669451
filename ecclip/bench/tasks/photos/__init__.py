"""Cells of sets with photos: labels from photo and title, a shift of domain, restricted goods, products by photos."""

__all__ = ["labels", "products", "restriction", "shift"]
