"""Towers over a snapshot: the stages that embed listings, for the tasks and for the mismatch score."""

import ecclip.model  # noqa: F401 - sets how threads wait, which must happen before torch is imported
from ecclip.embed.listings import embed_listings

__all__ = ["age_policy", "attribute_options", "borders", "embed_listings", "stage"]
