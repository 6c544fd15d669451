"""The one definition of what a photo and a title become, for cleaning, training, evaluation and the server.

Imports with numpy and Pillow alone; a tokenizer is loaded by who turns titles into ids.
"""

from ecclip.product_input.preprocessing import (
    FORMATS,
    LEAST_SIDE,
    MAX_PIXELS,
    MESSAGE_PIXELS,
    PixelBudget,
    PreprocessingError,
    Preprocessor,
    open_image,
    square,
)

__all__ = [
    "FORMATS",
    "LEAST_SIDE",
    "MAX_PIXELS",
    "MESSAGE_PIXELS",
    "PixelBudget",
    "PreprocessingError",
    "Preprocessor",
    "open_image",
    "square",
]
