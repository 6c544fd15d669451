"""Watch @champion for the DAG that reconciles: a version that a person asks for starts it, once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from ecclip.core import EcclipError, patient

_POLL_TIMEOUT_S = 120.0  # of a registry that does not answer; by judgment


class AliasTrigger(BaseEventTrigger):
    """Fires when @champion names a version that neither answers nor did when both last agreed: a person's move.

    The system's own moves never look like that. What was seen last is the audit file's last line, which a restarted
    triggerer finds: a wish of the meantime fires then, and one that was granted does not.
    """

    def __init__(self, poke_s: float = 10.0) -> None:
        super().__init__()
        self.poke_s = poke_s

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments that recreate this trigger."""
        return f"{type(self).__module__}.{type(self).__qualname__}", {"poke_s": self.poke_s}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Poll for ever, each ``poke_s`` seconds, and fire for each wish once."""
        fired = ""
        while True:
            try:
                wish = await asyncio.wait_for(asyncio.to_thread(_requested), patient(_POLL_TIMEOUT_S))
            except (EcclipError, OSError) as error:  # TimeoutError is one; the next look may do better
                self.log.warning("the registry cannot be watched: %s", error)
            else:
                if wish and wish != fired:
                    yield TriggerEvent({"version": wish})
                fired = wish
            await asyncio.sleep(self.poke_s)


def _requested() -> str:
    from ecclip.release import requested

    return requested()
