"""Where a shop's export is, what it holds, and the stage ``extract`` that imports it."""

__all__ = ["inventory", "location", "stage"]
