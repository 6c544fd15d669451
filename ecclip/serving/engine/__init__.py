"""Engines: how a server with a GPU computes the towers of a bundle."""

__all__ = ["config", "described"]
