"""A night's listings as attributes are learnt from them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from ecclip.formats.policies.age import OWN_LABEL
from ecclip.product_input import description_text
from ecclip.tasks.attributes.applicable import Applicable, learn_applicable
from ecclip.tasks.attributes.open_values import Labelled, learn_open_values
from ecclip.tasks.attributes.specs import stated
from ecclip.tasks.config import AttributesConfig, EvaluateConfig
from ecclip.tasks.rows import Rows

Stated = Mapping[str, Sequence[str]]


def stated_of(rows: Rows) -> list[dict[str, tuple[str, ...]] | None]:
    """Return what each listing states (``specs.stated``), but for its labels of age restriction."""
    found = (stated(specs) for specs in rows.given["attributes"])
    return [
        None if names is None else {name: said for name, said in names.items() if not name.startswith(OWN_LABEL)}
        for names in found
    ]


def applicable_nodes(rows: Rows, found: Sequence[Stated | None], cfg: AttributesConfig) -> list[dict[str, Any]]:
    """Return which names apply by category, as the listings of split train state them."""
    paths = rows.given.get("category") or [None] * len(found)
    train = [
        (tuple(path) if path else None, names)
        for path, names, split in zip(paths, found, rows.split, strict=True)
        if names is not None and split == "train"
    ]
    return learn_applicable(train, cfg.min_category_listings, cfg.min_category_count, cfg.min_category_share)


def labelled(rows: Rows, cfg: AttributesConfig) -> Labelled:
    """Return the listings as open values are learnt from them: without their category, which no question comes with.

    They are asked about what applies to it, as a service asks about what applies to the likeliest one.
    """
    count, found = len(rows.titles), stated_of(rows)
    applicable = Applicable(applicable_nodes(rows, found, cfg))
    apply = [applicable.of(path) for path in rows.given.get("category") or [None] * count]
    return Labelled(
        listing_ids=[str(one) for one in rows.listing_ids],
        titles=rows.titles,
        descriptions=[text and description_text(text) for text in rows.given.get("description") or [None] * count],
        categories=[""] * count,
        stated=found,
        asked=[names and names | set(own or ()) for names, own in zip(apply, found, strict=True)],
        groups=rows.groups,
        split=rows.split,
    )


def described(rows: Rows, listings: Labelled, closed: Collection[str], cfg: EvaluateConfig) -> dict[str, Any]:
    """Return what heads.json says of attributes besides the heads of the ``closed`` ones: ``applies`` and ``open``.

    ``listings`` are the ``rows`` as :func:`labelled` returns them. An attribute that is neither has no place in
    ``applies``.
    """
    opened = learn_open_values(listings, sorted(closed), cfg.attributes.open, cfg.auto)
    known = {*closed, *(opened["reader"]["names"] if opened else ())}
    nodes = applicable_nodes(rows, listings.stated, cfg.attributes)
    return {
        "applies": [node | {"names": [one for one in node["names"] if one in known]} for node in nodes],
        "open": opened,
    }
