"""Which versions a server has loaded: the live one, its predecessor kept warm, and at times a candidate."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Literal

from ecclip.client import Product, ProductClient
from ecclip.core import IntegrityError, ServiceError, get_logger, patient
from ecclip.core.services import close_shared_memory
from ecclip.errors import DeadlineExceeded, NotLoaded, Overloaded, Rejected, Unavailable
from ecclip.formats.service import EXAMPLE
from ecclip.serving.deploy.platforms import CANDIDATE, ENTRY
from ecclip.serving.deploy.repair import verified
from ecclip.serving.deploy.repository import Repository
from ecclip.serving.server.access import client_options
from ecclip.serving.server.control import SEE_LOG, Control

_PROBE = Product(image=EXAMPLE["IMAGE"], title="probe")
_ANSWER_LIMIT_S = 60.0  # for a first answer, which loads kernels


def reconcile(control: Control, repository: Repository) -> None:
    """Make the server serve what live.json names and nothing else, which undoes what a killed deployment left.

    Raises:
        IntegrityError: the live version's files are not what was staged, and its bundle does not give them back.
        ServiceError: the live version does not load or does not answer.
    """
    live = repository.live()
    if live is None:
        unload_all(control, repository)
        return
    if control.loaded(CANDIDATE):
        control.unload(CANDIDATE)
    verified(repository, live.version)
    load_graphs(control, repository, warm_versions(repository))
    load_entry(control, repository, ENTRY, live.version)


def unload_all(control: Control, repository: Repository) -> None:
    """Unload every model; a loaded one whose process died is not loaded again before."""
    for model in (CANDIDATE, ENTRY, *repository.graph_folders()):
        if control.loaded(model):
            control.unload(model)


def warm_versions(repository: Repository) -> list[int]:
    """Return the live version and its predecessor, kept ready for a rollback; a damaged one is left out."""
    live = repository.live()
    if live is None:
        return []
    warm = [live.version]
    if live.previous is not None:
        try:
            verified(repository, live.previous)
            warm.append(live.previous)
        except IntegrityError as error:
            get_logger().warning("the previous version is not kept ready", version=live.previous, error=str(error))
    return warm


def beside_live(repository: Repository, version: int) -> list[int]:
    """Return the versions of graphs that a change to ``version`` needs: the live one and the new one.

    They are the warm ones after the change: a changed policy makes this server load every version in it again.
    """
    live = repository.live()
    return sorted({version, live.version if live else version})


def load_graphs(control: Control, repository: Repository, versions: Iterable[int]) -> None:
    """Load the graphs of exactly these versions; those that are already loaded stay as they are."""
    wanted = repository.graph_models(versions)
    for model, of_model in wanted.items():
        _load(control, repository, model, of_model)
    for model in repository.graph_folders():
        if model not in wanted and control.loaded(model):
            control.unload(model)


def load_entry(control: Control, repository: Repository, model: str, version: int) -> None:
    """Load one version of an entry model and let it answer a synthetic request; ready before another is unloaded.

    Raises:
        ServiceError: it did not load, or loaded and does not answer.
    """
    _load(control, repository, model, [version])
    if not answers(control, model, version):
        raise ServiceError(
            "a model is ready but does not answer",
            value=f"{model} version {version}",
            next_step=SEE_LOG,
        )


def answers(control: Control, model: str, version: int | None) -> bool:
    """Whether a model answers a synthetic request without an error; a busy one is given time."""
    deadline = time.monotonic() + patient(_ANSWER_LIMIT_S)
    while (found := probe(control, model, version)) == "silent" and time.monotonic() < deadline:
        time.sleep(0.1)
    return found == "answers"


def probe(
    control: Control, model: str, version: int | None, lineage: str = ""
) -> Literal["answers", "silent", "broken"]:
    """Send a model a synthetic request with a photo and a title, so that every model behind it takes part.

    An error, or an answer of another bundle than ``lineage`` says, means that something is broken; no answer in time
    may mean load, or a server that hangs.
    """
    options = client_options(model=model, version=str(version or ""), timeout_s=patient(10.0), retries=1)
    try:
        with ProductClient(control.address, options) as client:
            answer = client.ask([_PROBE])[0]
        error = answer.error or (f"it is bundle {answer.lineage}" if lineage not in ("", answer.lineage) else "")
    except Overloaded:
        return "answers"  # it said so itself
    except (NotLoaded, Rejected) as refusal:
        error = str(refusal)
    except (DeadlineExceeded, Unavailable) as silence:
        get_logger().warning("a model does not answer in time", model=model, version=version, error=str(silence))
        return "silent"
    if error:
        get_logger().warning("a model answers with an error", model=model, version=version, error=error)
    return "broken" if error else "answers"


def _load(control: Control, repository: Repository, model: str, versions: list[int]) -> None:
    before = control.loaded(model)
    repository.configure(model, versions)
    if before == versions:
        return
    control.load(model, versions)
    close_shared_memory(repository.shared_memory)
