"""Every error that ecclip raises on purpose.

EcclipError
├── ConfigError      a setting or a parameter is wrong: fix it and run again
├── ContractError    data does not keep its contract: a dump, a snapshot, a bundle
│   └── IntegrityError   a file is missing, half written or not what its manifest says
├── NotReadyError    what is waited for is not there yet: later it may be
├── GateError        a gate refused: the data or the model may not go on
└── ServiceError     a process or a server did not do its part
"""

from __future__ import annotations


class EcclipError(Exception):
    """Base of all errors raised on purpose: what is wrong, the value, the limit, the next step."""

    def __init__(self, what: str, *, value: object = None, limit: object = None, next_step: str = "") -> None:
        self.what, self.value, self.limit, self.next_step = what, value, limit, next_step
        parts = [what]
        if value is not None:
            parts.append(f"value: {value}")
        if limit is not None:
            parts.append(f"limit: {limit}")
        if next_step:
            parts.append(f"next: {next_step}")
        super().__init__("; ".join(parts))


class ConfigError(EcclipError):
    """A setting or a parameter is wrong."""


class ContractError(EcclipError):
    """Data does not keep its contract."""


class IntegrityError(ContractError):
    """A file is missing, half written, or not what its manifest says."""


class NotReadyError(EcclipError):
    """What is waited for is not there yet; the same call may succeed later."""


class GateError(EcclipError):
    """A gate refused: the data or the model may not go on."""


class ServiceError(EcclipError):
    """A process or a server did not do its part."""
