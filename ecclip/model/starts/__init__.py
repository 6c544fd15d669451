"""A joint model that people know, taken over whole: networks, projections, temperature, tokenizer, preprocessing."""

from ecclip.model.starts.dispatch import take_over
from ecclip.model.starts.taken import Taken

__all__ = ["Taken", "take_over"]
