"""A start's tokenizer as one ``tokenizer.json``: what is done to a text before it is cut into tokens included."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tokenizers import Regex, Tokenizer, normalizers

from ecclip.errors import ModelError
from ecclip.model.config import TowersConfig
from ecclip.model.starts.files import StartFiles
from ecclip.model.starts.taken import refuse
from ecclip.model.text import read_tokenizer

# none: as the tokenizer is; space: white space made single; lower: small letters, too; canonical: no punctuation
# either, as SigLIP was trained (big_vision's canonicalize_text); apart: the same with _ as white space (open_clip's)
Cleaning = Literal["none", "space", "lower", "canonical", "apart"]
_PUNCTUATION = Regex(r"[!-/:-@\[-`{-~]")  # Python's string.punctuation
_UNBOUNDED = 1_000_000  # tokens; transformers writes 1e30 where a tokenizer has no length


@dataclass(frozen=True)
class TakenTokenizer:
    """Content of ``tokenizer.json``, the token that fills up, and its length; None: it has none of its own."""

    content: str
    pad_id: int
    length: int | None


def take_tokenizer(cfg: TowersConfig, files: StartFiles, cleaning: Cleaning, *, fixed_length: bool) -> TakenTokenizer:
    """Return the tokenizer of a start, or the one that ``cfg.tokenizer`` names instead of it.

    Raises:
        ModelError: there is none in a form that travels, or it fills up on the left what is read in full length.
    """
    described = files.find_json("tokenizer_config.json")
    if fixed_length and described.get("padding_side", "right") != "right":
        raise refuse("its texts are filled up on the left", described["padding_side"], "right")
    tokenizer = Tokenizer.from_str(read_tokenizer(cfg.tokenizer) if cfg.tokenizer else _content(files))
    steps = _steps(cleaning)
    if steps:
        own = [] if tokenizer.normalizer is None else [tokenizer.normalizer]
        tokenizer.normalizer = normalizers.Sequence([*steps, *own])
    padding = _token(described.get("pad_token")) or _token(files.find_json("special_tokens_map.json").get("pad_token"))
    pad_id = tokenizer.token_to_id(padding) if padding else None
    if pad_id is None and fixed_length:
        raise refuse("its tokenizer names no pad_token", padding, "a token of its vocabulary")
    length = int(min(described.get("model_max_length", _UNBOUNDED), _UNBOUNDED))
    return TakenTokenizer(tokenizer.to_str(), pad_id or 0, None if length == _UNBOUNDED else length)


def _content(files: StartFiles) -> str:
    path = files.find("tokenizer.json")
    if path is not None:
        return path.read_text(encoding="utf-8")
    vocabulary, merges = files.find("vocab.json"), files.find("merges.txt")
    if vocabulary is None or merges is None:
        raise ModelError(
            "a start has no tokenizer that travels",
            value=files.name,
            limit="tokenizer.json, or vocab.json with merges.txt",
            next_step="name one as towers.tokenizer; CLIP's own is hub:openai/clip-vit-base-patch32",
        )
    lines = merges.read_text(encoding="utf-8").splitlines()
    pairs = [tuple(line.split()) for line in lines if not line.startswith("#version")]
    return _clip(json.loads(vocabulary.read_text(encoding="utf-8")), [pair for pair in pairs if len(pair) == 2])


def _clip(vocabulary: Mapping[str, int], merges: Sequence[tuple[str, ...]]) -> str:
    from transformers import CLIPTokenizer

    pairs: Any = list(merges)
    content: str = CLIPTokenizer(vocab=dict(vocabulary), merges=pairs).backend_tokenizer.to_str()
    return content


def _steps(cleaning: Cleaning) -> list[Any]:
    if cleaning == "none":
        return []
    steps: list[Any] = [normalizers.Replace("_", " ")] if cleaning == "apart" else []
    if cleaning in ("canonical", "apart"):
        steps.append(normalizers.Replace(_PUNCTUATION, ""))
    if cleaning != "space":
        steps.append(normalizers.Lowercase())
    return [*steps, normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()]


def _token(value: Any) -> str | None:
    """Return a token that is written as such, or as a table with its content."""
    return value.get("content") if isinstance(value, dict) else value
