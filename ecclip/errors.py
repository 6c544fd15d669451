"""Every error that ecclip raises on purpose, in one tree. Imports nothing, so that every room and worker may use it.

EcclipError
├── ConfigError               a setting or a parameter is wrong: correct it and run again
│   ├── ModelError            a tower cannot be built, saved or loaded
│   └── TrainError            training cannot begin, or cannot go on, as it is configured
│       ├── OutOfMemoryError  not even one pair at a time fits into the memory
│       └── ProcessesError    the processes of one training cannot work together
├── ContractError             data does not keep its contract: a dump, a snapshot, a bundle
│   ├── IntegrityError        a file is missing, half written, or not what its manifest says
│   ├── PairsError            the training pairs are missing, damaged or too few
│   └── ResultError           a file of benchmark results is missing or damaged
├── NotReadyError             what is waited for is not there yet: the same call may succeed later
├── GateError                 a gate refused: the data or the model may not go on
└── ServiceError              a process or a server did not do its part
    ├── CheckpointError       a checkpoint cannot be written; the previous one is untouched
    ├── DivergedError         too many training steps in a row gave no finite number
    ├── BusyError             a server took too long to answer: it may be asked again
    └── ClientError           a question to the service was not answered
        ├── Unavailable       no server, or one that is going away: tried again, then raised
        │   └── NotLoaded     a server that does not have the model: one that starts is asked again, then raised
        ├── Overloaded        the queue is full: tried again after a pause, then raised
        ├── DeadlineExceeded  no answer in time; not tried again, since the time is gone
        └── Rejected          the question itself is wrong: too large, malformed, or without the token

Outside the tree are a request to stop, files that travel in bundles and so import nothing of ecclip, and what one
module tells another about a single cell, photo or request; no user sees the last:

SystemExit
└── Preempted                 SIGTERM came: a checkpoint is written, the same call continues from it
ValueError
├── PreprocessingError        product_input: a photo or a title that the towers cannot take; travels in bundles
├── DecisionError             tasks: answers that no decision can be made from; travels in bundles
├── BundleError               serving: a process that would answer otherwise than the bundle's; travels in bundles
├── BadCell                   catalog: a cell of a dump; its row goes to quarantine
├── BadCellError              catalog: a cell of a source; its row goes to quarantine
└── PhotoRefusedError         catalog: a photo of a source; its listing goes on without it
Exception
├── BuildError                serving: an engine cannot be built; of a script that runs where no ecclip is
├── _Again                    catalog: a request for a photo that is worth another try
│   └── _Silent               catalog: one that its host did not answer at all
└── _Lost                     catalog: a request for a photo that is not
"""

from __future__ import annotations

from typing import Any

PREEMPTED_EXIT_CODE = 143  # 128 + SIGTERM, what a shell reports for a terminated process


class EcclipError(Exception):
    """Base of all errors raised on purpose: what is wrong, the value, the limit, the next step for the reader."""

    def __init__(self, what: str, *, next_step: str, value: object = None, limit: object = None) -> None:
        self.what, self.value, self.limit, self.next_step = what, value, limit, next_step
        labelled = (("value", value), ("limit", limit), ("next", next_step or None))
        super().__init__("; ".join([what, *(f"{label}: {text}" for label, text in labelled if text is not None)]))

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the error for another process; a value that might not be picklable becomes text."""
        return _again, (type(self), self.what, self.next_step, _plain(self.value), _plain(self.limit))


class ConfigError(EcclipError):
    """A setting or a parameter is wrong."""


class ModelError(ConfigError, ValueError):
    """A tower cannot be built, saved or loaded. A ValueError too, so that pydantic names the parameter."""


class TrainError(ConfigError, ValueError):
    """Training cannot begin, or cannot go on, as it is configured. A ValueError too, as :class:`ModelError`."""


class OutOfMemoryError(TrainError):
    """Not even one pair at a time fits into the memory."""


class ProcessesError(TrainError):
    """The processes of one training cannot work together."""


class ContractError(EcclipError):
    """Data does not keep its contract."""


class IntegrityError(ContractError):
    """A file is missing, half written, or not what its manifest says."""


class PairsError(ContractError):
    """The training pairs are missing, damaged or too few."""


class ResultError(ContractError):
    """A file of benchmark results is missing, damaged, or not of the house's format; names the file."""


class NotReadyError(EcclipError):
    """What is waited for is not there yet; the same call may succeed later."""


class GateError(EcclipError):
    """A gate refused: the data or the model may not go on."""


class ServiceError(EcclipError):
    """A process or a server did not do its part."""


class CheckpointError(ServiceError):
    """A checkpoint cannot be written; the previous one is untouched."""


class DivergedError(ServiceError):
    """Too many consecutive steps had a loss or a gradient that is not finite."""


class BusyError(ServiceError):
    """A server took too long to answer; it may be asked again."""


class ClientError(ServiceError):
    """A question was not answered."""


class Unavailable(ClientError):
    """There is no server at the address, or it is going away."""


class NotLoaded(Unavailable):
    """The server runs and does not have the model: it is starting, nothing was deployed yet, or the name is wrong."""


class Overloaded(ClientError):
    """The server's queue is full."""


class DeadlineExceeded(ClientError):
    """The answer did not come in time."""


class Rejected(ClientError):
    """The question is too large or malformed, or comes without the token that the server wants."""


class Preempted(SystemExit):
    """SIGTERM came: a checkpoint is written, the same call continues from it. Exit code 143."""

    def __init__(self, step: int) -> None:
        super().__init__(PREEMPTED_EXIT_CODE)
        self.step = step


def _again(kind: type[EcclipError], what: str, next_step: str, value: object, limit: object) -> EcclipError:
    return kind(what, next_step=next_step, value=value, limit=limit)


def _plain(value: object) -> object:
    return value if value is None or isinstance(value, int | float | str) else str(value)
