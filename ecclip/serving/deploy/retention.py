"""Which versions stay in a model repository, and how the others leave it: their record first."""

from __future__ import annotations

import re

from ecclip.atomic import remove_tree
from ecclip.core import fail_point, get_logger
from ecclip.serving.deploy.platforms import CANDIDATE, ENTRY
from ecclip.serving.deploy.repository import Repository

_OF_ONE_VERSION = re.compile(r".+_(\d+)")  # a tower on a GPU has a model for each version


def prune(repository: Repository, keep: int) -> list[int]:
    """Remove every version but the live one, the one before, and the ``keep`` newest others; return their numbers.

    The repository's lock is held, and no server has them loaded: a deployment unloads all but the live version and the
    one before. What a killed staging or pruning left without a record goes too. A damaged version is removed like any
    other. A pruned one that is to answer again is staged and blessed anew from its bundle.
    """
    live = repository.live()
    if live is None:
        return []
    others = sorted(repository.versions() - {live.version, live.previous}, reverse=True)
    for version in others[keep:]:
        repository.forget(version)
        fail_point("prune.forgotten")
    removed = _remove_unrecorded(repository)
    if removed:
        get_logger().info("old versions are removed from the model repository", versions=removed)
    return removed


def _remove_unrecorded(repository: Repository) -> list[int]:
    known, removed = repository.versions(), set()
    for folder in (*repository.graph_folders(), ENTRY, CANDIDATE):
        of_one = _OF_ONE_VERSION.fullmatch(folder)
        for path in (repository.folder / folder).glob("[0-9]*/"):
            if int(path.name) not in known:
                remove_tree(path)
                removed.add(int(path.name))
        if of_one and int(of_one[1]) not in known:
            remove_tree(repository.folder / folder)
    return sorted(removed)
