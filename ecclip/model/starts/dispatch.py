"""From the name of a start to all that it brings."""

from __future__ import annotations

from ecclip.model.config import TowersConfig
from ecclip.model.starts.open_clip_form import take_open_clip
from ecclip.model.starts.source import locate
from ecclip.model.starts.taken import Taken
from ecclip.model.starts.transformers_form import take_transformers


def take_over(cfg: TowersConfig) -> Taken:
    """Return everything that ``cfg.start`` brings, downloaded where it names the hub.

    Raises:
        ModelError: it is not to be had, or is a kind of model that cannot be represented exactly.
    """
    form, files = locate(cfg.start or "")
    return take_open_clip(cfg, files) if form == "open_clip" else take_transformers(cfg, files)
