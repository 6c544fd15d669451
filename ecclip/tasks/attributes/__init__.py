"""Attributes beyond the heads: which apply to a category, and open values read out of titles and descriptions."""

from ecclip.tasks.attributes.reader import Uses, described
from ecclip.tasks.attributes.specs import stated
from ecclip.tasks.attributes.teaching import Example, overlapping_pairs
from ecclip.tasks.attributes.tokens import spans_of, words_of
from ecclip.tasks.attributes.turns import Spans, each_for_itself, in_turns

__all__ = [
    "Example",
    "Spans",
    "Uses",
    "applicable",
    "described",
    "each_for_itself",
    "from_rows",
    "given",
    "given_targets",
    "in_turns",
    "open_values",
    "opened",
    "overlapping_pairs",
    "reported",
    "spans_of",
    "stated",
    "words_of",
]
