"""Checkpoints that are whole or not there: written aside, flushed, renamed, and verified before they are used."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from ecclip.atomic import (
    MANIFEST,
    canonical_json,
    recover_folder,
    replace_folder,
    sha256_bytes,
    sha256_file,
    write_atomic,
)
from ecclip.errors import CheckpointError

_TENSORS, _STATE = "tensors.safetensors", "state.json"


@dataclass(frozen=True)
class Checkpoint:
    """Tensors by name, and the position and the metrics so far."""

    step: int
    tensors: dict[str, Tensor]
    state: dict[str, Any]


class CheckpointStore:
    """A folder of checkpoints; the last few good ones are kept.

    Of several processes one owns the folder; the others only read.
    """

    def __init__(self, folder: Path, keep: int, log: Callable[..., None], *, is_owner: bool = True) -> None:
        self.folder, self.keep, self._log = folder, keep, log
        if not is_owner:
            return
        folder.mkdir(parents=True, exist_ok=True)
        for name in {path.name.split(".")[1] for path in folder.glob(".step-*")}:
            for leftover in recover_folder(folder / name):
                log("a killed run left something behind", path=str(leftover))
        self._drop_oldest()  # a run killed after its last save could not clean up

    def save(self, step: int, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> Path:
        """Write a checkpoint and remove the oldest.

        Raises:
            CheckpointError: the disk refuses; nothing that was there is touched.
        """
        final = self.folder / _name(step)
        temporary = self.folder / f".{final.name}.tmp-{os.getpid()}"
        try:
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir()
            payload = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
            files = {_TENSORS: save(payload), _STATE: canonical_json(dict(state)).encode()}
            for name, data in files.items():
                write_atomic(temporary / name, data)
            digests = {name: sha256_bytes(data) for name, data in files.items()}
            write_atomic(temporary / MANIFEST, canonical_json({"step": step, "sha256": digests}))
            replace_folder(temporary, final)
        except OSError as error:
            shutil.rmtree(temporary, ignore_errors=True)
            step_to_take = "make room and run the same command again: it continues from the last good checkpoint"
            raise CheckpointError(
                "a checkpoint cannot be written", value=f"{final}: {error.strerror}", next_step=step_to_take
            ) from error
        self._drop_oldest()
        return final

    def _drop_oldest(self) -> None:
        for old in self.steps()[: -self.keep]:
            shutil.rmtree(self.folder / _name(old), ignore_errors=True)

    def steps(self) -> list[int]:
        """Return the steps that have a checkpoint, good or not, oldest first."""
        return sorted(int(path.name.removeprefix("step-")) for path in self.folder.glob("step-*"))

    def newest(self) -> Checkpoint | None:
        """Return the newest checkpoint that is what its manifest says; damaged ones are named and removed."""
        for step in reversed(self.steps()):
            folder = self.folder / _name(step)
            try:
                checkpoint = _read(folder)
                self._drop_oldest()  # a run that died between writing and dropping left one too many checkpoints
                return checkpoint
            except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
                self._log("a checkpoint is damaged, falling back to the one before", path=str(folder), error=str(error))
                shutil.rmtree(folder, ignore_errors=True)
        return None

    def at(self, step: int) -> Checkpoint:
        """Return the checkpoint of a step, for a process that does not own the folder.

        Raises:
            CheckpointError: it is not there, or is not what its manifest says.
        """
        folder = self.folder / _name(step)
        try:
            return _read(folder)
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            next_step = "all processes need the same folder, on a file system that they share"
            raise CheckpointError("a checkpoint cannot be read", value=folder, next_step=next_step) from error


def _name(step: int) -> str:
    return f"step-{step:08d}"


def _read(folder: Path) -> Checkpoint:
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    for name in (_TENSORS, _STATE):
        if sha256_file(folder / name) != manifest["sha256"][name]:
            raise ValueError(f"{name} is not what its manifest says")
    tensors = load((folder / _TENSORS).read_bytes())
    state = json.loads((folder / _STATE).read_text(encoding="utf-8"))
    return Checkpoint(int(manifest["step"]), tensors, state)
