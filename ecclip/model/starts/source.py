"""What a start is called: ``hf:``, ``open_clip:`` and ``path:``, and where its files lie."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from ecclip.errors import ModelError
from ecclip.model.starts.files import StartFiles

Form = Literal["transformers", "open_clip"]
FORMS = (
    "hf:<owner>/<name>[@<revision>], open_clip:hf-hub:<owner>/<name>[@<revision>], open_clip:local-dir:<folder>, "
    "open_clip:<model>/<tag>, or path:<folder>"
)
_OPEN_CLIP_CONFIG = "open_clip_config.json"
# open_clip's models by name and tag whose weights lie on the hub in its own form (open_clip/pretrained.py, 3.3.0)
_TAGS = {
    "ViT-B-32/laion2b_s34b_b79k": "laion/CLIP-ViT-B-32-laion2B-s34B-b79K",
    "ViT-B-16/laion2b_s34b_b88k": "laion/CLIP-ViT-B-16-laion2B-s34B-b88K",
    "ViT-L-14/laion2b_s32b_b82k": "laion/CLIP-ViT-L-14-laion2B-s32B-b82K",
    "ViT-H-14/laion2b_s32b_b79k": "laion/CLIP-ViT-H-14-laion2B-s32B-b79K",
    "ViT-B-16-SigLIP/webli": "timm/ViT-B-16-SigLIP",
    "ViT-B-16-SigLIP2/webli": "timm/ViT-B-16-SigLIP2",
}


def locate(start: str) -> tuple[Form, StartFiles]:
    """Return the form of a start and its files.

    Raises:
        ModelError: it is called otherwise than FORMS, or the folder is missing.
    """
    kind, _, name = start.partition(":")
    if kind == "path" and name:
        files = _folder(name)
        return ("open_clip" if files.find(_OPEN_CLIP_CONFIG) else "transformers"), files
    if kind == "hf" and name:
        return "transformers", _repository(name)
    if kind == "open_clip" and name:
        return "open_clip", _open_clip(name)
    raise ModelError("not a start", value=start, limit=FORMS, next_step="correct towers.start")


def _open_clip(name: str) -> StartFiles:
    scheme, _, rest = name.partition(":")
    if scheme == "hf-hub" and rest:
        return _repository(rest)
    if scheme == "local-dir" and rest:
        return _folder(rest)
    if name not in _TAGS:
        raise ModelError(
            "this model and tag of open_clip are not known here",
            value=name,
            limit=", ".join(_TAGS),
            next_step="name the repository of its weights: open_clip:hf-hub:<owner>/<name>",
        )
    return _repository(_TAGS[name])


def _repository(name: str) -> StartFiles:
    repository, _, revision = name.partition("@")
    return StartFiles(repository, revision=revision or None)


def _folder(name: str) -> StartFiles:
    folder = Path(name).expanduser()
    if not folder.is_dir():
        raise ModelError("the folder of a start is missing", value=folder, next_step="correct towers.start")
    return StartFiles(folder.name, folder)
