"""Rejected rows: counted by reason, and above a share of all rows the run stops."""

from __future__ import annotations

from ecclip.core import ContractError


def refuse_share(what: str, reasons: dict[str, int], read: int, limit: float) -> None:
    """Raise ContractError with the counts by reason when more than ``limit`` of ``read`` were rejected."""
    rejected = sum(reasons.values())
    if read and rejected / read > limit:
        counts = ", ".join(f"{name} {count}" for name, count in sorted(reasons.items(), key=lambda item: -item[1]))
        raise ContractError(
            f"too many {what} were rejected: {counts}",
            value=f"{rejected} of {read} ({rejected / read:.1%})",
            limit=f"{limit:.1%}",
            next_step="look at the dump; if it is right, raise the limit in params.yaml",
        )
