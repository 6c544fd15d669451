"""The preprocessing of photos and titles: one definition for cleaning, training, evaluation and the server.

Imports with numpy and Pillow alone; tokenizers and ftfy are imported by the first call that needs them. The whole
folder is copied into every bundle, and the server runs that copy.
"""

from ecclip.product_input.decoding import (
    FORMATS,
    MAX_PIXELS,
    MESSAGE_PIXELS,
    MIN_SIDE,
    PixelBudget,
    PreprocessingError,
    open_image,
)
from ecclip.product_input.photo import (
    DEFINITION,
    CanonicalPhoto,
    canonical_jpeg,
    canonical_of,
    codec_versions,
    definition,
    is_canonical,
    read_canonical,
)
from ecclip.product_input.preprocessing import Preprocessor
from ecclip.product_input.resizing import FILTERS, Reading
from ecclip.product_input.text import clean_text, description_text, title_text
from ecclip.product_input.units import spell_units

__all__ = [
    "DEFINITION",
    "FILTERS",
    "FORMATS",
    "MAX_PIXELS",
    "MESSAGE_PIXELS",
    "MIN_SIDE",
    "CanonicalPhoto",
    "PixelBudget",
    "PreprocessingError",
    "Preprocessor",
    "Reading",
    "canonical_jpeg",
    "canonical_of",
    "clean_text",
    "codec_versions",
    "definition",
    "description_text",
    "is_canonical",
    "open_image",
    "read_canonical",
    "spell_units",
    "title_text",
]
