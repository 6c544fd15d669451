"""A gate's verdict: declared rules and shift tests together, written next to where the output would be."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from ecclip.catalog.gate.expectations import Outcome, Rule, Table, validate, validate_row
from ecclip.catalog.gate.history import NightFacts
from ecclip.catalog.gate.shift import Shift, ShiftConfig, accepted_names
from ecclip.catalog.spark.output import sibling
from ecclip.core import GateError, canonical_json, get_logger, recover_folder, replace_folder, write_atomic


def shift_table(found: Sequence[Shift], accepted: Sequence[str], more: dict[str, float], rules: list[Rule]) -> Table:
    """Return tonight's metrics as one row, with a rule for each shift that was not accepted.

    ``more`` are metrics of the night that ``rules`` check in addition to the shifts.
    """
    import pandas as pd  # Great Expectations' plain frame: only a gate pays for the import

    limits = [Rule.within(shift.name, shift.low, shift.high) for shift in found if shift.name not in accepted]
    values = {shift.name: shift.value for shift in found} | more
    return Table("metrics", pd.DataFrame([values]), [*rules, *limits])


def accept_shifts(cfg: ShiftConfig, tonight: NightFacts, found: Sequence[Shift]) -> list[str]:
    """Return the shifts of tonight that the configuration lets pass, and say so in the log."""
    accepted = accepted_names(cfg, tonight.fingerprint, [shift.name for shift in found])
    if accepted:
        get_logger().warning("shifts are accepted by configuration", fingerprint=tonight.fingerprint, metrics=accepted)
    return accepted


def validate_shifts(table: Table, docs: Path) -> list[Outcome]:
    """Validate one row of metrics; the page is built only when a rule fails, because building it takes seconds."""
    outcomes = validate_row(table)
    return outcomes if all(outcome.passed for outcome in outcomes) else validate([table], docs)


def write_verdict(
    tables: Sequence[Table],
    outcomes: Sequence[Outcome],
    found: Sequence[Shift],
    tonight: NightFacts,
    output: Path,
    what: str,
) -> int:
    """Write ``verdict.json`` beside the data docs in ``output``; return the number of rules.

    Raises:
        GateError: a rule failed. Everything written is then in ``<output>.refused/`` instead.
    """
    rules = {rule.name: rule for table in tables for rule in table.rules}
    broken = [outcome.name for outcome in outcomes if not outcome.passed]
    failed, warned = ([name for name in broken if rules[name].warns == warns] for warns in (False, True))
    metrics = {outcome.name: outcome.value for outcome in outcomes}
    verdict = {
        "passed": not failed,
        "failed_expectations": failed,
        "warnings": warned,
        "metrics": metrics,
        "limits": {name: rule.limit for name, rule in rules.items()},
        "fingerprint": tonight.fingerprint,
        "accepted": tonight.accepted,
    }
    if warned:
        get_logger().warning("expectations are not met", **{name: metrics[name] for name in warned})
    write_atomic(output / "verdict.json", canonical_json(verdict))
    # a stage that raises publishes nothing, so what a person has to read goes next to its output
    refused = sibling(output, ".refused")
    recover_folder(refused)
    if not failed:
        shutil.rmtree(refused, ignore_errors=True)
        return len(outcomes)
    replace_folder(output, refused)
    shifted = [shift.name for shift in found if shift.name in failed]
    meant = f'; if it is meant: shift: {{accepted: {{"{tonight.fingerprint}": {shifted}}}}}' if shifted else ""
    raise GateError(
        f"{what} refused: {', '.join(failed)}",
        value=", ".join(f"{name} = {metrics[name]}" for name in failed),
        limit=", ".join(f"{name}: {rules[name].limit}" for name in failed),
        next_step=f"read {refused / 'data_docs' / 'index.html'}; the previous snapshot stays current{meant}",
    )
