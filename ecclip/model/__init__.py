"""Two towers from a configuration, on disk and back, with the preprocessing that belongs to them.

Imports with torch, timm, transformers, tokenizers, safetensors, numpy and Pillow alone.
"""

from ecclip.model.wait_policy import WAIT_POLICY  # first: it must be set before torch is imported

# isort: split
from ecclip.errors import ModelError
from ecclip.model.config import TowersConfig
from ecclip.model.encode import encode_images, encode_texts, one_thread_each
from ecclip.model.fusing import fuse_image_encoder
from ecclip.model.presets import PRESETS, towers_preset
from ecclip.model.store import load_preprocessor, load_towers, save_towers
from ecclip.model.text import TextEncoder, text_lengths
from ecclip.model.towers import MAX_LOGIT_SCALE, Towers, build_towers
from ecclip.model.vision import ImageEncoder
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
    "encode_images",
    "encode_texts",
    "fuse_image_encoder",
    "load_preprocessor",
    "load_towers",
    "one_thread_each",
    "save_towers",
    "text_lengths",
    "towers_preset",
]
