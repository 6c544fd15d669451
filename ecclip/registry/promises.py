"""Whether the test listings refute a precision that a bundle promises for its `auto` answers."""

from __future__ import annotations

from collections.abc import Mapping

_BOUND = "/auto_precision_at_most"


def promises_refuted(metrics: Mapping[str, float]) -> list[str]:
    """Return a reason against a bundle for each head and modality whose promise is refuted by its test listings.

    ``metrics`` are those of the bundle. Refuted is a promise above the one-sided 95 % upper bound of the precision of
    the test's `auto` answers; where none is `auto` there is no bound and nothing to refute.
    """
    reasons = []
    for name, bound in sorted(metrics.items()):
        if not name.endswith(_BOUND):
            continue
        promise = metrics.get(f"{name.removesuffix(_BOUND)}/auto_promise")
        if promise is None:
            reasons.append(f"{name}: the bundle does not say what `auto` promises")
        elif not bound >= promise:
            reasons.append(f"{name}: {bound:.4f}, less than the {promise:.4f} that `auto` promises")
    return reasons
