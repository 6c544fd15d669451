"""The parts of ``ecclip bench tasks``: public sets without leaks, systems, and cells that are measured once."""

__all__ = ["attributes", "blocking", "cells", "clusters", "pairs", "photos", "sample_products"]
