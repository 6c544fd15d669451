"""The readers of a text matcher on disk: weights, and what they were made by."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load, save

from ecclip.atomic import canonical_json, sha256_bytes, write_atomic
from ecclip.core import fingerprint
from ecclip.errors import IntegrityError
from ecclip.formats.documents import read_document, read_field, write_document
from ecclip.tasks.config import TextMatcherConfig
from ecclip.tasks.matching.text_matcher.cross_encoder import CrossEncoder
from ecclip.tasks.matching.text_matcher.fine_tuning import fine_tune

SCHEMA = "ecclip.text_matcher/1"
_DESCRIPTION, _WEIGHTS = "text_matcher.json", "text_matcher.safetensors"
_NEXT_STEP = "run group_products of that night again"


def write_readers(folder: Path, readers: Sequence[CrossEncoder], cfg: TextMatcherConfig, nights: int) -> None:
    """Write the readers and how many nights they have served with this one; the description comes last."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {
        f"{number}.{name}": tensor.detach().cpu().contiguous()
        for number, reader in enumerate(readers)
        for name, tensor in reader.state_dict().items()
    }
    write_atomic(folder / _WEIGHTS, save(state))
    write_document(folder / _DESCRIPTION, SCHEMA, {"made_by": _made_by(readers, cfg), "nights": nights})


def read_readers(folder: Path, readers: Sequence[CrossEncoder], cfg: TextMatcherConfig) -> int | None:
    """Give ``readers`` the weights of a folder and return how many nights these have served.

    None, and nothing is changed, where there are none, or others: by another code, other parameters or another tower.

    Raises:
        ContractError: they have a schema that this code does not know.
        IntegrityError: a file cannot be read; names it.
    """
    path = folder / _DESCRIPTION
    if not path.is_file():
        return None
    content = read_document(path, SCHEMA, _NEXT_STEP)
    if content.get("made_by") != _made_by(readers, cfg):
        return None
    weights = folder / _WEIGHTS
    try:
        state = load(weights.read_bytes())
        for number, reader in enumerate(readers):
            own = {name.removeprefix(f"{number}."): one for name, one in state.items() if name.startswith(f"{number}.")}
            reader.load_state_dict(own)
    except (OSError, SafetensorError, RuntimeError) as error:
        raise IntegrityError("weights of a text matcher cannot be read", value=weights, next_step=_NEXT_STEP) from error
    return read_field(content, "nights", int, path, _NEXT_STEP)


def _made_by(readers: Sequence[CrossEncoder], cfg: TextMatcherConfig) -> str:
    """Return a digest of the code, of the parameters and of the tower's shape."""
    shapes = {name: list(tensor.shape) for name, tensor in readers[0].state_dict().items()}
    made_by = [fingerprint(fine_tune), cfg.model_dump(mode="json"), shapes]
    return sha256_bytes(canonical_json(made_by).encode())
