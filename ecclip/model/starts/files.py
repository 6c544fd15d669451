"""The files of a start: in a folder of this machine, or in a repository of the hub.

Only a start that names the hub is asked for there, and by the hub's own library alone, so that ``HF_HUB_OFFLINE``,
``HF_HOME``, ``HF_ENDPOINT`` and ``HF_TOKEN`` mean what they mean everywhere else.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ecclip.errors import ModelError

_OFFLINE = "set HF_HOME to a cache that has it, allow the download (no HF_HUB_OFFLINE), or name a folder: path:<folder>"


@dataclass(frozen=True)
class StartFiles:
    """Files by name; ``folder`` is None where they lie in the repository ``name`` of the hub, at ``revision``."""

    name: str
    folder: Path | None = None
    revision: str | None = None

    def find(self, filename: str) -> Path | None:
        """Return a file, downloaded if it has to be; None: there is none.

        Raises:
            ModelError: there is no such repository, or it is not for this user.
        """
        if self.folder is not None:
            path = self.folder / filename
            return path if path.is_file() else None
        return _from_hub(self.name, filename, self.revision)

    def need(self, *filenames: str) -> Path:
        """Return the first of these files that there is.

        Raises:
            ModelError: there is none of them, or the hub cannot be reached and the cache has none.
        """
        for filename in filenames:
            path = self.find(filename)
            if path is not None:
                return path
        where = self.name if self.folder is None else str(self.folder)
        raise ModelError(
            "a start lacks a file, or the hub is not to be reached" if self.folder is None else "a start lacks a file",
            value=where,
            limit=" or ".join(filenames),
            next_step=_OFFLINE if self.folder is None else "complete the folder, or name another start",
        )

    def read_json(self, *filenames: str) -> dict[str, Any]:
        """Return the content of the first of these files that there is."""
        path = self.need(*filenames)
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ModelError(
                "a file of a start is no JSON", value=path, limit=str(error)[:200], next_step="download it again"
            ) from error
        return dict(content)

    def find_json(self, filename: str) -> dict[str, Any]:
        """Return the content of a file, empty where there is none."""
        return {} if self.find(filename) is None else self.read_json(filename)

    def weights(self, *filenames: str) -> dict[str, Tensor]:
        """Return the tensors of the first of these files that there is, float32; shards by their index."""
        path = self.need(*filenames)
        if path.name.endswith(".index.json"):
            shards = sorted(set(json.loads(path.read_text(encoding="utf-8"))["weight_map"].values()))
            state = {name: value for shard in shards for name, value in _tensors(self.need(shard)).items()}
        else:
            state = _tensors(path)
        return {name: value.float() if value.is_floating_point() else value for name, value in state.items()}


def _tensors(path: Path) -> dict[str, Tensor]:
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    content = torch.load(path, map_location="cpu", weights_only=True)
    state = dict(content.get("state_dict", content))
    return {name.removeprefix("module."): value for name, value in state.items()}


def _from_hub(repository: str, filename: str, revision: str | None) -> Path | None:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, HFValidationError

    try:
        return Path(hf_hub_download(repository, filename, revision=revision))
    except EntryNotFoundError:
        return None  # not in the repository, or, without the hub, not in the cache
    except (HfHubHTTPError, HFValidationError) as error:
        raise ModelError(
            "the hub refuses a start",
            value=f"{repository}@{revision}" if revision else repository,
            limit=str(error).strip().splitlines()[0][:200],
            next_step="correct the name or the revision, or log in (HF_TOKEN) where it is gated",
        ) from error
