"""Land: the dump's listing files byte for byte and its photos, fetched within budgets, packed into few files."""

__all__ = ["originals", "photos", "stage", "uris"]
