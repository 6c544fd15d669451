"""Matching and clustering of a whole snapshot."""
