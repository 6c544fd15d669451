"""Where a shop's export lies, what it holds, and the stage ``extract`` that brings it in."""

__all__ = ["inventory", "location", "stage"]
