"""What attributes with given options are asked about a night: options embedded, and labels that measure the answers."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np

from ecclip.formats.policies.options import GivenAttribute, spelling
from ecclip.tasks.kinds.task import NO_LABEL, Target
from ecclip.tasks.rows import Rows

PREFIX = "attribute:"


def given_targets(
    rows: Rows, stated: Sequence[Mapping[str, Sequence[str]] | None], learnt: Collection[str]
) -> Iterator[Target]:
    """Yield a zero-shot target per attribute of the night's file that is not ``learnt`` otherwise.

    ``stated`` [N] is what specs state. A listing that states one of the options has a label; other values say nothing
    of how well the options are told apart.
    """
    if rows.options is None:
        return
    known = {*map(spelling, learnt)}
    named = {name: spelling(name) for names in stated for name in names or ()}
    paths = rows.given.get("category") or [None] * len(rows.listing_ids)
    for one in rows.options.options.attributes:
        if spelling(one.name) not in known:
            yield Target(
                "attributes",
                f"{PREFIX}{one.name}",
                "softmax",
                [option.name for option in one.options],
                _numbers(one, stated, [name for name, said in named.items() if said == spelling(one.name)]),
                described=rows.options.vectors[one.name],
                zero_shot=True,
                among=np.array([one.applies_to(path) for path in paths], dtype=bool) if one.categories else None,
            )


def without(targets: Sequence[Target], read: Collection[str]) -> list[Target]:
    """Return the targets but for zero-shot ones of attributes that are ``read`` out of texts: these are learnt."""
    known = {*map(spelling, read)}
    return [one for one in targets if not (one.zero_shot and spelling(one.name.removeprefix(PREFIX)) in known)]


def _numbers(
    attribute: GivenAttribute, stated: Sequence[Mapping[str, Sequence[str]] | None], names: Sequence[str]
) -> np.ndarray:
    """Return the option that each listing states, int64 [N], by ``names``, those of the attribute in specs."""
    numbers, found = attribute.numbers, np.full(len(stated), NO_LABEL, dtype=np.int64)
    for row, said in enumerate(stated):
        values = [value for name in names for value in (said or {}).get(name, ())]
        found[row] = min((numbers[word] for value in values if (word := spelling(value)) in numbers), default=NO_LABEL)
    return found
