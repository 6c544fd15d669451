"""Triton's model repository on disk: immutable version folders, configurations, and the record of what is live.

``live.json`` is authoritative; every ``config.pbtxt`` follows from it. A version folder is written once, verified by
the digests in ``.state/version-N.json``, and never changed.
"""

from __future__ import annotations

import json
import os
import re
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from ecclip.atomic import remove_tree
from ecclip.core import (
    ConfigError,
    IntegrityError,
    ServingPlatform,
    canonical_json,
    digest_of,
    fail_point,
    get_logger,
    locked,
    replace_folder,
    settings,
    sha256_bytes,
    sha256_file,
    verify_folder,
    write_atomic,
)
from ecclip.formats.bundle import Bundle, Precision, lineage_of
from ecclip.formats.live import STATE, Live, read_live, write_live
from ecclip.serving.deploy.contents import contents_of, tolerance_of
from ecclip.serving.deploy.numbers import Numbers
from ecclip.serving.deploy.platforms import (
    CANDIDATE,
    ENTRY,
    GRAPH_MODELS,
    TOWERS,
    Target,
    gpu_config,
    python_config,
)
from ecclip.serving.engine.config import bundle_shapes

_LOCK_WAIT_S = 600.0  # a deployment loads up to two versions, two minutes each at most


class Staged(BaseModel):
    """A version in the repository: its bundle, the server it is for, and the sha256 of every file by path.

    ``models`` names the model of each graph, ``accelerators`` the parameters of its execution accelerator.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    version: int
    bundle: str
    lineage: str
    shapes: dict[str, int]
    tolerance: dict[str, float]
    files: dict[str, str]
    platform: ServingPlatform = "embedded"
    precision: Precision = "float32"
    gpu: str = ""
    models: dict[str, str] = {model: model for model in GRAPH_MODELS}
    accelerators: dict[str, dict[str, str]] = {}

    @property
    def digest(self) -> str:
        """What a blessing refers to: changes when any file does."""
        # what a record of an older ecclip does not say is no part of what was blessed then
        return sha256_bytes(canonical_json(self.model_dump(exclude_unset=True)).encode())

    @property
    def served_by(self) -> tuple[ServingPlatform, Precision, str]:
        """Platform, precision and GPU that the version was staged for."""
        return self.platform, self.precision, self.gpu


class Repository:
    """The folder that Triton reads: models and the state of deployments; ``target`` is what versions are staged for."""

    def __init__(self, folder: Path, target: Target | None = None) -> None:
        self.folder = folder
        self.target = target or Target()
        self.numbers = Numbers(folder)

    @property
    def bundles(self) -> Path:
        """The store of the bundles that versions were staged from, beside this folder."""
        return self.folder.parent / "bundles"

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
            IntegrityError: the bundle is not what its manifest says, the version already is another bundle, or an
                engine is missing, truncated or changed.
            ContractError: the bundle lacks the precision, or its engines are not for the server.
            ConfigError: the version is there for another server.
        """
        with self.lock():
            return self._stage(bundle, version)

    def _stage(self, bundle: Path, version: int) -> Staged:
        if version < 1:
            raise ConfigError(
                "a version is a number from 1 on", value=version, next_step="take the number that is free"
            )
        digest = digest_of(bundle)
        known = self.staged(version)
        if known is not None:
            self.numbers.enter(version, digest)
            self._refuse_another_server(known)
            return self.verify(version)
        verify_folder(bundle)
        staged = self._described(bundle, digest, version)
        contents = contents_of(bundle, digest, staged.models, self.target)
        self.numbers.enter(version, digest)  # before anything of it lies there
        files: dict[str, str] = {}
        for model, content in contents.items():
            install_folder(self.folder / model / str(version), content)
            files |= {f"{model}/{version}/{name}": sha256_bytes(data) for name, data in content.items()}
        questions = Bundle(bundle).golden.read_bytes()
        write_atomic(self.golden_path(version), questions)
        files[self.golden_path(version).relative_to(self.folder).as_posix()] = sha256_bytes(questions)
        staged = staged.model_copy(update={"files": files})
        fail_point("stage.placed")
        write_atomic(self._record_path(version), canonical_json(staged.model_dump()))
        fail_point("stage.recorded")
        return staged

    def _described(self, bundle: Path, digest: str, version: int) -> Staged:
        """Return the record of a version without its files."""
        target, shapes = self.target, bundle_shapes(bundle)
        platform, precision, gpu = target.served_by
        models = {tower: target.tower_name(tower, version) for tower in TOWERS}
        towers = {models[tower]: target.accelerator(shapes, lineage_of(digest), tower, version) for tower in TOWERS}
        return Staged(
            version=version,
            bundle=digest,
            lineage=lineage_of(digest),
            shapes=shapes,
            tolerance=tolerance_of(bundle, precision),
            files={},
            platform=platform,
            precision=precision,
            gpu=gpu,
            models=models,
            accelerators={name: parameters for name, parameters in towers.items() if parameters},
        )

    def _refuse_another_server(self, known: Staged) -> None:
        wanted = self.target.served_by
        if known.served_by != wanted:
            raise ConfigError(
                f"version {known.version} lies in the model repository for another server",
                value=" ".join(known.served_by).strip(),
                limit=" ".join(wanted).strip(),
                next_step="stage the bundle under another version, "
                "or set ECCLIP_SERVING_PLATFORM, ECCLIP_SERVING_GPU and engine.precision as they were",
            )

    def staged(self, version: int) -> Staged | None:
        """Return the record of a staged version, or None.

        Raises:
            IntegrityError: the record cannot be read.
        """
        path = self._record_path(version)
        try:
            return Staged.model_validate_json(path.read_bytes()) if path.is_file() else None
        except ValueError as error:
            raise IntegrityError(
                "the record of a version cannot be read", value=path,
                next_step="deploy its bundle again: it gets another version here, and this one goes with time",
            ) from error  # fmt: skip

    def versions(self) -> set[int]:
        """Return the numbers that are taken, those of damaged versions included."""
        return {int(path.stem.removeprefix("version-")) for path in (self.folder / STATE).glob("version-*.json")}

    def forget(self, version: int) -> None:
        """Remove the record of a version, without which its files mean nothing; the blessing and questions go first."""
        for path in (self._blessing_path(version), self.golden_path(version), self._record_path(version)):
            path.unlink(missing_ok=True)

    def number_of(self, digest: str) -> int | None:
        """Return the newest version that a bundle is here, whole, or None."""
        return max((one.version for one in self._whole(digest)), default=None)

    def number_for(self, digest: str) -> int:
        """Return the version that a bundle is here for the server of ``target``, or a number to stage it as.

        A number means one bundle for ever. A bundle that is here for another server than the target gets one for this
        one, and so does one that is damaged; one that left, or whose staging was killed, gets its own back.
        """
        same = [one.version for one in self._whole(digest) if one.served_by == self.target.served_by]
        lying = self.versions()
        own = [number for number, known in self.numbers.all().items() if known == digest and number not in lying]
        return max(same or own, default=None) or self.numbers.free()

    def _whole(self, digest: str) -> Iterator[Staged]:
        """Yield the versions that are a bundle and whole; a damaged one never stands in the way of another."""
        for version in sorted(self.versions()):
            try:
                staged = self.staged(version)
                if staged is not None and staged.bundle == digest:
                    yield self.verify(version)
            except IntegrityError as error:
                get_logger().warning("a version in the model repository is damaged", version=version, error=str(error))

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
        if unknown := self.unknown_files(staged):
            first = unknown[0].relative_to(self.folder)
            raise IntegrityError("a file does not belong to the version", value=first, next_step=again)
        for name, digest in staged.files.items():
            path = self.folder / name
            if not path.is_file():
                raise IntegrityError("a file of the version is missing", value=name, next_step=again)
            if sha256_file(path) != digest:
                raise IntegrityError("a file of the version is not what was staged", value=name, next_step=again)
        return staged

    def unknown_files(self, staged: Staged) -> list[Path]:
        """Return the files in the folders of a version that its record does not have."""
        folders = [self.folder / model / str(staged.version) for model in (*staged.models.values(), ENTRY, CANDIDATE)]
        found = (path for folder in folders for path in folder.rglob("*") if _counts(path))
        return sorted(path for path in found if path.relative_to(self.folder).as_posix() not in staged.files)

    def configure(self, model: str, versions: Iterable[int]) -> None:
        """Write the configuration of a model, by its name on the server, with exactly these versions in its policy.

        It is one at least.
        """
        chosen = sorted(set(versions))
        text = self._config(model, chosen)
        path = self.folder / model / "config.pbtxt"
        if not path.is_file() or path.read_text() != text:
            write_atomic(path, text)

    def graph_models(self, versions: Iterable[int]) -> dict[str, list[int]]:
        """Return the models of graphs that these versions need, each with those of the versions it has."""
        models: dict[str, list[int]] = {}
        for version in sorted(set(versions)):
            staged = self.staged(version)
            for model in staged.models.values() if staged is not None else TOWERS:
                models.setdefault(model, []).append(version)
        return models

    def graph_folders(self) -> list[str]:
        """Return the models of graphs that lie in the repository, whichever versions they have."""
        pattern = re.compile(rf"(?:{'|'.join(GRAPH_MODELS)})(?:_\d+)?")
        return sorted(path.name for path in self.folder.glob("*/") if pattern.fullmatch(path.name))

    def live(self) -> Live | None:
        """Return what is live by the last commit, or None.

        Raises:
            IntegrityError: live.json cannot be read, or is of another time: its version is another bundle here.
        """
        live = read_live(self.folder)
        means = None if live is None else self.numbers.all().get(live.version)
        if live is not None and means and lineage_of(means) != live.lineage:
            path = self.folder / "live.json"
            raise IntegrityError(
                "live.json names a version that is another bundle here: it is of another time",
                value=f"version {live.version}: {live.lineage}",
                limit=lineage_of(means),
                next_step=f"cp {self.folder / STATE / path.name} {path}",
            )
        return live

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
            bundle=staged.bundle,
            sequence=before.sequence + 1 if before else 1,
        )
        write_live(self.folder, live)
        return live

    def is_blessed(self, staged: Staged) -> bool:
        """Say whether a version was examined as it lies there, and passed."""
        record = self.blessing(staged.version)
        return record is not None and record["passed"] and record["staged"] == staged.digest

    def blessing(self, version: int) -> dict[str, Any] | None:
        """Return the record of the last examination of a version, or None; so does one that cannot be read."""
        path = self._blessing_path(version)
        try:
            return dict(json.loads(path.read_text())) if path.is_file() else None
        except ValueError as error:
            get_logger().warning("the record of a blessing cannot be read", path=str(path), error=str(error))
            return None

    def write_blessing(self, version: int, record: dict[str, Any]) -> None:
        """Keep the outcome of an examination."""
        write_atomic(self._blessing_path(version), canonical_json(record))

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
        for folder in (self.folder, self.folder / STATE, *self.folder.glob("[!.]*/")):
            for leftover in (*folder.glob(".*.tmp-*"), *folder.glob(".*.old-*")):
                remove_tree(leftover)  # a version that was moved aside has no record yet: it is staged again

    def _blessing_path(self, version: int) -> Path:
        return self.folder / STATE / f"blessing-{version}.json"

    def _record_path(self, version: int) -> Path:
        return self.folder / STATE / f"version-{version}.json"

    def _config(self, model: str, versions: list[int]) -> str:
        staged = self.staged(versions[0])
        if staged is not None and staged.platform != "embedded":
            for tower in TOWERS:
                if staged.models[tower] == model:  # it has this version alone
                    accelerator = staged.accelerators.get(model, {})
                    return gpu_config(tower, model, staged.version, staged.platform, staged.shapes, accelerator)
        source, threads = ENTRY if model == CANDIDATE else model, settings().torch_threads
        return python_config(source, model, versions, threads, settings().serving_instances)


def install_folder(final: Path, content: dict[str, bytes]) -> None:
    """Put a version folder into place by one rename."""
    final.parent.mkdir(exist_ok=True)  # the model's, in the repository, which is there
    temporary = final.with_name(f".{final.name}.tmp-{os.getpid()}")
    temporary.mkdir()
    for name, data in content.items():
        (temporary / name).parent.mkdir(parents=True, exist_ok=True)
        (temporary / name).write_bytes(data)
    replace_folder(temporary, final)  # what is there has no record: a killed attempt, never loaded


def _counts(path: Path) -> bool:
    # the server's interpreter writes its caches next to the sources regardless of settings
    return not path.is_dir() and not (path.parent.name == "__pycache__" and path.suffix == ".pyc")
