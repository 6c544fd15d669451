"""Attributes beyond the heads: which apply to a category, and open values read out of titles and descriptions."""

from ecclip.tasks.attributes.reader import Uses, described
from ecclip.tasks.attributes.specs import stated
from ecclip.tasks.attributes.tokens import spans_of, words_of

__all__ = [
    "Uses",
    "applicable",
    "described",
    "from_rows",
    "given",
    "given_targets",
    "open_values",
    "opened",
    "reported",
    "spans_of",
    "stated",
    "words_of",
]
