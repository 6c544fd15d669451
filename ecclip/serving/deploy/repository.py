"""Triton's model repository on disk: immutable version folders, configurations, and the record of what is live.

``live.json`` is authoritative; every ``config.pbtxt`` follows from it. A version folder is written once, verified by
the digests in ``.state/version-N.json``, and never changed.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from string import Template
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

import ecclip
from ecclip.atomic import files_below, remove_tree
from ecclip.client import IMAGE_BYTES, MAX_BATCH, TEXT_BYTES
from ecclip.core import (
    ConfigError,
    IntegrityError,
    canonical_json,
    digest_of,
    locked,
    replace_folder,
    sha256_bytes,
    sha256_file,
    verify_folder,
    write_atomic,
)
from ecclip.formats.bundle import Bundle, lineage_of
from ecclip.formats.live import STATE, Live, read_live, write_live
from ecclip.formats.service import INPUTS, OUTPUTS, triton_config
from ecclip.product_input import DEFINITION
from ecclip.serving.export.shipped_code import LIBRARIES

GRAPH_MODELS = ("image_tower", "text_tower", "heads")
ENTRY, CANDIDATE = "product", "candidate"
MODELS = (*GRAPH_MODELS, ENTRY, CANDIDATE)
_LOCK_WAIT_S = 600.0  # a deployment loads up to two versions, two minutes each at most


class Staged(BaseModel):
    """A version in the repository: its bundle and the sha256 of every file by path."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    version: int
    bundle: str
    lineage: str
    shapes: dict[str, int]
    tolerance: dict[str, float]
    files: dict[str, str]

    @property
    def digest(self) -> str:
        """What a blessing refers to: changes when any file does."""
        return sha256_bytes(canonical_json(self.model_dump()).encode())


class Repository:
    """The folder that Triton reads: the models, and the state of deployments."""

    def __init__(
        self, folder: Path, kind: Literal["embedded", "onnxruntime", "tensorrt"] = "embedded", threads: int = 2
    ) -> None:
        self.folder = folder
        self.kind = kind
        self.threads = threads
        self.templates = Path(ecclip.__file__).parents[1] / "triton_models"

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Let one deployment work at a time.

        Raises:
            ServiceError: another one worked for the whole waiting time.
        """
        with locked(self.folder / STATE / "lock", "the model repository", _LOCK_WAIT_S):
            self._sweep()
            yield

    def stage(self, bundle: Path, version: int) -> Staged:
        """Place a bundle as version ``version`` of every model; the same bundle again changes nothing.

        Raises:
            IntegrityError: the bundle is not what its manifest says, or the version already is another bundle.
        """
        with self.lock():
            return self._stage(bundle, version)

    def _stage(self, bundle: Path, version: int) -> Staged:
        if version < 1:
            raise ConfigError(
                "a version is a number from 1 on", value=version, next_step="name a version of the registry, such as 1"
            )
        if self.kind == "tensorrt":
            raise ConfigError(
                "engines are built on the GPU that serves, and are not part of a bundle",
                value=self.kind,
                next_step="use the profile embedded or onnxruntime",
            )
        digest = digest_of(bundle)
        known = self.staged(version)
        if known is not None and known.bundle == digest:
            return self.verify(version)
        if known is not None:
            raise IntegrityError(
                "the version is another bundle", value=f"version {version}: {known.bundle[:16]}", limit=digest[:16],
                next_step="stage the bundle under its own version",
            )  # fmt: skip
        verify_folder(bundle)
        files: dict[str, str] = {}
        for model, content in self._contents(bundle, digest).items():
            install_folder(self.folder / model / str(version), content)
            files |= {f"{model}/{version}/{name}": sha256_bytes(data) for name, data in content.items()}
        questions = Bundle(bundle).golden.read_bytes()
        write_atomic(self.golden_path(version), questions)
        files[self.golden_path(version).relative_to(self.folder).as_posix()] = sha256_bytes(questions)
        described = Bundle(bundle).description()
        staged = Staged(
            version=version,
            bundle=digest,
            lineage=lineage_of(digest),
            shapes={name: described[name] for name in ("embedding_dim", "image_size", "max_tokens")},
            tolerance=described["tolerance"],
            files=files,
        )
        write_atomic(self._record_path(version), canonical_json(staged.model_dump()))
        return staged

    def staged(self, version: int) -> Staged | None:
        """Return the record of a staged version, or None."""
        path = self._record_path(version)
        return Staged.model_validate_json(path.read_bytes()) if path.is_file() else None

    def number_of(self, digest: str, wanted: int | None = None) -> int | None:
        """Return the version that a bundle is here, or else a free one to stage it as: ``wanted`` unless that is taken.

        Numbers are this folder's own. A registry that was restored counts anew, and may give a number twice.
        """
        known = {staged.bundle: staged.version for staged in self._all_staged()}
        if digest in known or wanted is None:
            return known.get(digest)
        return max(known.values()) + 1 if wanted in known.values() else wanted

    def _all_staged(self) -> list[Staged]:
        records = (self.folder / STATE).glob("version-*.json")
        return [Staged.model_validate_json(path.read_bytes()) for path in records]

    def verify(self, version: int) -> Staged:
        """Return the record of a version after comparing every file on disk with it.

        Raises:
            IntegrityError: not staged, or a file is missing, changed or not known.
        """
        staged = self.staged(version)
        if staged is None:
            raise IntegrityError(
                "the version is not in the model repository", value=version, next_step="stage it first"
            )
        again = "stage the bundle under a new version; this one stays as it is"
        found = set()
        for model in MODELS:
            folder = self.folder / model / str(version)
            found |= {path.relative_to(self.folder).as_posix() for path in folder.rglob("*") if _counts(path)}
        unknown = sorted(found - set(staged.files))
        if unknown:
            raise IntegrityError("a file does not belong to the version", value=unknown[0], next_step=again)
        for name, digest in staged.files.items():
            path = self.folder / name
            if not path.is_file():
                raise IntegrityError("a file of the version is missing", value=name, next_step=again)
            if sha256_file(path) != digest:
                raise IntegrityError("a file of the version is not what was staged", value=name, next_step=again)
        return staged

    def configure(self, model: str, versions: Iterable[int]) -> None:
        """Write the model's configuration with exactly these versions in its policy."""
        chosen = sorted(set(versions))
        text = self._config(model, chosen)
        path = self.folder / model / "config.pbtxt"
        if not path.is_file() or path.read_text() != text:
            write_atomic(path, text)

    def live(self) -> Live | None:
        """Return what is live by the last commit, or None."""
        return read_live(self.folder)

    def commit(self, version: int) -> Live:
        """Make ``version`` the live one; this rename is the commit point."""
        before = self.live()
        staged = self.staged(version)
        assert staged is not None, version
        if before is not None and before.version == version:
            return before
        live = Live(
            version=version,
            previous=before.version if before else None,
            lineage=staged.lineage,
            sequence=before.sequence + 1 if before else 1,
        )
        write_live(self.folder, live)
        return live

    def is_blessed(self, staged: Staged) -> bool:
        """Say whether a version was examined as it lies there, and passed."""
        record = self.blessing(staged.version)
        return record is not None and record["passed"] and record["staged"] == staged.digest

    def blessing(self, version: int) -> dict[str, Any] | None:
        """Return the record of the last examination of a version, or None."""
        path = self.folder / STATE / f"blessing-{version}.json"
        return dict(json.loads(path.read_text())) if path.is_file() else None

    def write_blessing(self, version: int, record: dict[str, Any]) -> None:
        """Keep the outcome of an examination."""
        write_atomic(self.folder / STATE / f"blessing-{version}.json", canonical_json(record))

    @property
    def shared_memory(self) -> str:
        """The prefix of the shared memory in which the embedded server passes requests to its models."""
        return f"triton_python_backend_shm_region_{sha256_bytes(str(self.folder.parent.resolve()).encode())[:8]}_"

    def control_key(self) -> str | None:
        """Return the key that this repository's server requires to load or unload a model, or None."""
        path = self.folder / STATE / "control.key"
        return path.read_text() if path.is_file() else None

    def new_control_key(self) -> str:
        """Create the key of a server that is about to start; only the owner can read the file."""
        key = secrets.token_hex(32)
        write_atomic(self.folder / STATE / "control.key", key, mode=0o600)
        return key

    def golden_path(self, version: int) -> Path:
        """Return where the golden listings of a version lie."""
        return self.folder / STATE / f"golden-{version}.parquet"

    def _sweep(self) -> None:
        """Remove what a killed writer left unfinished; the lock is held, so there is no other writer."""
        for folder in (self.folder, self.folder / STATE, *(self.folder / model for model in MODELS)):
            for leftover in (*folder.glob(".*.tmp-*"), *folder.glob(".*.old-*")):
                remove_tree(leftover)  # a version that was moved aside has no record yet: it is staged again

    def _record_path(self, version: int) -> Path:
        return self.folder / STATE / f"version-{version}.json"

    def _contents(self, bundle: Path, digest: str) -> dict[str, dict[str, bytes]]:
        parts = Bundle(bundle)
        graph = (self.templates / "graph" / "model.py").read_bytes()
        contents = {
            model: {
                "model.py": graph,
                "model.onnx": parts.graph(model).read_bytes(),
                "known.npz": parts.known_answer(model).read_bytes(),
            }
            for model in GRAPH_MODELS
        }
        contents[ENTRY] = contents[CANDIDATE] = {
            **_code(bundle),
            "model.py": (self.templates / "product" / "model.py").read_bytes(),
            "tokenizer.json": parts.tokenizer.read_bytes(),
            "known.json": parts.known_question.read_bytes(),
            "entry.json": canonical_json(_entry(bundle, digest)).encode(),
        }
        return contents

    def _config(self, model: str, versions: list[int]) -> str:
        base = ENTRY if model == CANDIDATE else model
        production = self.kind != "embedded" and model in ("image_tower", "text_tower")
        profile = "production" if production else "embedded"
        template = Template((self.templates / base / f"config.{profile}.pbtxt").read_text())
        return template.substitute(
            name=model,
            versions=", ".join(str(version) for version in versions),
            max_batch=MAX_BATCH,
            threads=self.threads,
            instances=1 if model == CANDIDATE else 2,
            queue_delay_us=1000,
            inputs=triton_config(INPUTS),
            outputs=triton_config(OUTPUTS),
            platform={"onnxruntime": "onnxruntime_onnx", "tensorrt": "tensorrt_plan"}.get(self.kind, ""),
            filename="model.plan" if self.kind == "tensorrt" else "model.onnx",
            **(self._shapes(versions) if production else {}),
        )

    def _shapes(self, versions: list[int]) -> dict[str, int]:
        shapes = [staged.shapes for staged in map(self.staged, versions) if staged is not None]
        if not shapes or any(one != shapes[0] for one in shapes):
            raise ConfigError(
                "versions of other shapes cannot be loaded side by side in this profile",
                value=f"{versions}: {shapes}",
                next_step="deploy it to another repository, or remove the old version first",
            )
        return shapes[0]


def install_folder(final: Path, content: dict[str, bytes]) -> None:
    """Put a version folder into place by one rename."""
    final.parent.mkdir(parents=True, exist_ok=True)
    temporary = final.with_name(f".{final.name}.tmp-{os.getpid()}")
    temporary.mkdir()
    for name, data in content.items():
        (temporary / name).parent.mkdir(parents=True, exist_ok=True)
        (temporary / name).write_bytes(data)
    replace_folder(temporary, final)  # what is there has no record: a killed attempt, never loaded


def _counts(path: Path) -> bool:
    # the server's interpreter writes its caches next to the sources regardless of settings
    return not path.is_dir() and not (path.parent.name == "__pycache__" and path.suffix == ".pyc")


def _code(bundle: Path) -> dict[str, bytes]:
    """Return the code of a bundle by path."""
    if not (Bundle(bundle).code / LIBRARIES).is_file():
        raise IntegrityError(
            "the bundle's code is not that of this version of ecclip", value=bundle, next_step="run export of its night"
        )
    return {path.relative_to(bundle).as_posix(): path.read_bytes() for path in files_below(Bundle(bundle).code)}


def _entry(bundle: Path, digest: str) -> dict[str, Any]:
    described = Bundle(bundle).description()
    heads = Bundle(bundle).described_heads()
    return {
        "embedding_dim": described["embedding_dim"],
        "image_size": described["image_size"],
        "max_tokens": described["max_tokens"],
        "top_k": described["top_k"],
        "heads": heads,
        "image_bytes": IMAGE_BYTES,
        "text_bytes": TEXT_BYTES,
        "lineage": lineage_of(digest),
        "product_input": json.loads((bundle / DEFINITION).read_text()),
    }
