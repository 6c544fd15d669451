"""Two towers from a configuration, on disk and back, with the preprocessing that belongs to them.

Imports with torch, timm, transformers, tokenizers, safetensors, numpy and Pillow alone.
"""

from ecclip.model._blocking import WAIT_POLICY
from ecclip.model._config import TowersConfig
from ecclip.model._errors import ModelError
from ecclip.model._fuse import fuse_image_encoder
from ecclip.model._presets import PRESETS, towers_preset
from ecclip.model._store import load_preprocessor, load_towers, save_towers
from ecclip.model._text import TextEncoder, text_lengths
from ecclip.model._towers import MAX_LOGIT_SCALE, Towers, build_towers
from ecclip.model._vision import ImageEncoder
from ecclip.product_input import PreprocessingError, Preprocessor

__all__ = [
    "MAX_LOGIT_SCALE",
    "PRESETS",
    "WAIT_POLICY",
    "ImageEncoder",
    "ModelError",
    "PreprocessingError",
    "Preprocessor",
    "TextEncoder",
    "Towers",
    "TowersConfig",
    "build_towers",
    "fuse_image_encoder",
    "load_preprocessor",
    "load_towers",
    "save_towers",
    "text_lengths",
    "towers_preset",
]
