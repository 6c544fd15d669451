"""Which versions a server has loaded: one that answers, the one before it kept warm, and a candidate at times."""

from __future__ import annotations

from collections.abc import Iterable

from ecclip.core import IntegrityError, ServiceError, get_logger, patient
from ecclip.serving._client import ClientOptions, ProductClient
from ecclip.serving._client_errors import ClientError, Overloaded
from ecclip.serving._control import Control
from ecclip.serving._process import close_regions
from ecclip.serving._repository import CANDIDATE, ENTRY, GRAPH_MODELS, Repository
from ecclip.serving._types import Product

_PROBE = Product(title="probe")


def settle(control: Control, repository: Repository) -> None:
    """Make the server serve what live.json names and nothing else; what a killed deployment left is undone.

    Raises:
        IntegrityError: the live version's files are not what was staged.
        ServiceError: the live version does not load or does not answer.
    """
    live = repository.live()
    if control.loaded(CANDIDATE):
        control.unload(CANDIDATE)
    if live is None:
        for model in (ENTRY, *GRAPH_MODELS):
            if control.loaded(model):
                control.unload(model)
        return
    repository.verify(live.version)
    load_graphs(control, repository, warm_versions(repository))
    load_entry(control, repository, ENTRY, live.version)


def warm_versions(repository: Repository) -> list[int]:
    """Return the live version and the one before it, which a rollback wants ready; a damaged one is left out."""
    live = repository.live()
    if live is None:
        return []
    warm = [live.version]
    if live.previous is not None:
        try:
            repository.verify(live.previous)
            warm.append(live.previous)
        except IntegrityError as error:
            get_logger().warning("the previous version is not kept ready", version=live.previous, error=str(error))
    return warm


def beside_live(repository: Repository, version: int) -> list[int]:
    """Return the versions of towers and heads that a change to ``version`` needs: the live one and the new one.

    They are the warm ones after the change: a changed policy makes this server load every version in it again.
    """
    live = repository.live()
    return sorted({version, live.version if live else version})


def load_graphs(control: Control, repository: Repository, versions: Iterable[int]) -> None:
    """Load towers and heads of exactly these versions; one that is loaded and wanted stays as it is."""
    wanted = sorted(set(versions))
    for model in GRAPH_MODELS:
        _load(control, repository, model, wanted)


def load_entry(control: Control, repository: Repository, model: str, version: int) -> None:
    """Load one version of an entry model and let it answer a synthetic question; it is ready before another one goes.

    Raises:
        ServiceError: it did not load, or loaded and does not answer.
    """
    _load(control, repository, model, [version])
    if not answers(control, model, version):
        raise ServiceError("a model is ready but does not answer", value=f"{model} version {version}")


def answers(control: Control, model: str, version: int | None) -> bool:
    """Whether a model answers a synthetic question without an error; readiness alone proves little."""
    options = ClientOptions(model=model, version=str(version or ""), timeout_s=patient(10.0), retries=1)
    try:
        with ProductClient(control.address, options) as client:
            return not client.ask([_PROBE])[0].error
    except Overloaded:
        return True  # busy, not broken
    except ClientError as error:
        get_logger().warning("a model does not answer", model=model, version=version, error=str(error))
        return False


def _load(control: Control, repository: Repository, model: str, versions: list[int]) -> None:
    before = control.loaded(model)
    repository.configure(model, versions)
    if before == versions:
        return
    control.load(model, versions)
    close_regions(repository.shared_memory)
