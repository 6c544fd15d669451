"""A live version whose files were damaged is made whole from its bundle; what is loaded goes on answering meanwhile."""

from __future__ import annotations

from ecclip.atomic import remove_tree
from ecclip.core import IntegrityError, get_logger, has_digest, sha256_bytes, sha256_file, verify_folder, write_atomic
from ecclip.formats.bundle import Bundle
from ecclip.serving.deploy.contents import contents_of
from ecclip.serving.deploy.repository import Repository, Staged


def verified(repository: Repository, version: int) -> Staged:
    """Return the record of a version that answers or answered, whole; damaged files are put back from its bundle.

    Raises:
        IntegrityError: it is damaged, and its bundle is not in the bundle store or gives other files.
    """
    try:
        return repository.verify(version)
    except IntegrityError as damage:
        staged = repository.staged(version)
        if staged is None or not _has_bundle(repository, staged):
            raise
        _put_back(repository, staged, Bundle(repository.bundles / staged.bundle))
        get_logger().warning("a damaged version is whole again", version=version, damage=str(damage))
        return repository.verify(version)


def _has_bundle(repository: Repository, staged: Staged) -> bool:
    """Whether the files can be made again: those for a GPU need its engines, which belong to a deployment."""
    return staged.platform == "embedded" and has_digest(repository.bundles / staged.bundle, staged.bundle)


def _put_back(repository: Repository, staged: Staged, bundle: Bundle) -> None:
    """Replace each file that is missing or changed by one rename, and remove those that are not known."""
    verify_folder(bundle.folder)
    version, whole = staged.version, {repository.golden_path(staged.version): bundle.golden.read_bytes()}
    for model, content in contents_of(bundle.folder, staged.bundle, staged.models, repository.target).items():
        whole |= {repository.folder / model / str(version) / name: data for name, data in content.items()}
    for path, data in whole.items():
        known = staged.files.get(path.relative_to(repository.folder).as_posix())
        if known == sha256_bytes(data) and not (path.is_file() and sha256_file(path) == known):
            write_atomic(path, data)
    for path in repository.unknown_files(staged):
        remove_tree(path)
