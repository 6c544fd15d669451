"""Wait for the night's export without holding a worker: the triggerer polls, up to a deadline."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta
from typing import Any, NoReturn

from airflow.sdk import BaseSensorOperator
from airflow.sdk.exceptions import AirflowFailException, AirflowSensorTimeout
from airflow.triggers.base import BaseTrigger, TriggerEvent

from ecclip.core import ConfigError, NotReadyError, now, parse_night, patient, settings

_POLL_TIMEOUT_S = 120.0  # a file system that does not answer must not delay the deadline; by judgment
_GRACE_S = 600.0  # after the deadline, for a triggerer that was down; by judgment

NightOf = Callable[[Any], str]


class DumpTrigger(BaseTrigger):
    """Fires when the export of a night is finished, or with the reason at the deadline (ISO 8601, UTC).

    The section ``source`` of params.yaml is read at every poll, so a correction there takes effect while a night waits.
    """

    def __init__(self, night: str, deadline: str, poke_s: float) -> None:
        super().__init__()
        self.night, self.deadline, self.poke_s = night, deadline, poke_s

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments that recreate this trigger, deadline included."""
        arguments = {"night": self.night, "deadline": self.deadline, "poke_s": self.poke_s}
        return f"{type(self).__module__}.{type(self).__qualname__}", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Poll until the export is there or the deadline has passed."""
        while True:
            try:
                reason = await missing_of(self.night)
            except ConfigError as error:  # waiting does not fix a setting
                yield TriggerEvent({"reason": str(error), "next_step": error.next_step})
                return
            left = (datetime.fromisoformat(self.deadline) - now()).total_seconds()
            if not reason or left <= 0:
                yield TriggerEvent({"reason": reason, "next_step": ""})
                return
            self.log.info("night %s waits: %s", self.night, reason)
            await asyncio.sleep(min(self.poke_s, left))


async def missing_of(night: str) -> str:
    """Return what is missing from the night's export, or an empty text; a source that does not answer counts as
    missing.

    Raises:
        ConfigError: the section ``source`` of params.yaml is wrong.
    """
    from ecclip.pipeline import why_waiting

    try:
        return await asyncio.wait_for(asyncio.to_thread(why_waiting, night), patient(_POLL_TIMEOUT_S))
    except OSError as error:  # TimeoutError is one
        return f"the source does not answer: {type(error).__name__} {error}"


class DumpSensor(BaseSensorOperator):
    """Waits for the export of the run's night as ``source`` in params.yaml says; fails permanently at the deadline."""

    def __init__(self, *, night: NightOf, **options: Any) -> None:
        super().__init__(**options)
        self._night = night

    def execute(self, context: Any) -> dict[str, Any]:
        """Return at once if the export is there, else defer to the triggerer."""
        from ecclip.pipeline import stage_config

        settings.cache_clear()
        try:
            night = parse_night(self._night(context))
            reason = asyncio.run(missing_of(night))
            source: Any = stage_config("extract")
        except ConfigError as error:
            raise AirflowFailException(f"ConfigError: {error}") from error
        if reason:
            self.log.info("night %s waits: %s", night, reason)
            deadline = now() + timedelta(seconds=source.wait.timeout_s)
            trigger = DumpTrigger(night, deadline.isoformat(), source.wait.poke_interval_s)
            self.defer(
                trigger=trigger, method_name="resume", timeout=timedelta(seconds=source.wait.timeout_s + _GRACE_S)
            )
        return {"night": night, "waited": False}

    def resume(self, context: Any, event: dict[str, str]) -> dict[str, Any]:
        """Continue if the export has arrived, else fail with the next step."""
        night = self._night(context)
        if event["reason"]:
            self._fail(night, event["reason"], event["next_step"])
        return {"night": night, "waited": True}

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Any) -> Any:
        """Poll once more if the triggerer missed the deadline: it may be down while the export is there."""
        try:
            return super().resume_execution(next_method, next_kwargs, context)
        except AirflowSensorTimeout:
            reason = asyncio.run(missing_of(self._night(context)))
            said = f"{reason}; and the triggerer did not poll either: is it running?" if reason else ""
            return self.resume(context, {"reason": said, "next_step": ""})

    @staticmethod
    def _fail(night: str, reason: str, next_step: str) -> NoReturn:
        error = NotReadyError(
            f"the export of night {night} did not come in time: {reason}",
            limit="source.wait.timeout_s in params.yaml",
            next_step=next_step
            or "have the shop write it, its marker last, then clear this task: the night goes on from here; "
            "source in params.yaml says where it is expected",
        )
        raise AirflowFailException(f"NotReadyError: {error}") from error
