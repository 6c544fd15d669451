"""The engine's errors as the house's: the engine itself knows nothing of stages."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ecclip.core import ConfigError, ContractError, EcclipError, ServiceError
from ecclip.model import ModelError
from ecclip.train.errors import CheckpointError, DivergedError, PairsError, TrainError


@contextmanager
def house_errors() -> Iterator[None]:
    """Raise the engine's errors as the house's: data as ContractError, the rest as ServiceError or ConfigError."""
    try:
        yield
    except (ModelError, TrainError) as error:
        kinds: list[tuple[type[Exception], type[EcclipError]]] = [
            (PairsError, ContractError),
            (CheckpointError, ServiceError),
            (DivergedError, ServiceError),
        ]
        kind = next((house for own, house in kinds if isinstance(error, own)), ConfigError)
        raise kind(error.what, value=error.value, limit=error.limit, next_step=error.next_step) from error
