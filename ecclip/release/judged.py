"""The one report of a bundle: the page that it carries, with the verdict of the gate on it."""

from __future__ import annotations

from dataclasses import asdict

from ecclip import registry
from ecclip.core import settings, write_atomic
from ecclip.formats.bundle import REPORT_PAGE
from ecclip.registry import Verdict


def write_judged_page(verdict: Verdict) -> None:
    """Write ``work/reports/<night>/report.html`` for the version that a verdict is about.

    A bundle never changes, and its page is older than any verdict: this one is made from both. Nothing is written where
    nothing was compared, such as a bundle that is not in the store.
    """
    if not verdict.compared:
        return
    from ecclip.tasks import with_verdict

    reference = registry.model_version(verdict.version)
    page = registry.stored_bundle(reference) / REPORT_PAGE
    if page.is_file():
        folder = settings().work / "reports" / reference.night
        write_atomic(folder / REPORT_PAGE, with_verdict(page.read_text(), asdict(verdict)))
