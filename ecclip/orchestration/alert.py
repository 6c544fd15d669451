"""Report a failed night: in the log, and to a webhook if ECCLIP_ALERT_URL names one."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

from airflow.sdk import BaseNotifier
from tenacity import retry, stop_after_attempt, wait_exponential

from ecclip.core import ConfigError, EcclipError, get_logger, settings, shown

_CHARACTERS = 1500  # of an alert; chat services cut longer ones; by judgment
_ATTEMPTS = 3  # few, as an alert must not hold up the failed task; by judgment
_TIMEOUT_S = 10.0  # of one attempt; by judgment
_FIX = "read the log, fix the cause, then clear the task: what is finished stays"


class Alert(BaseNotifier):
    """Reports DAG, task, night, error and next step of a task that failed permanently (``on_failure_callback``)."""

    def __init__(self, *, night: Callable[[Any], str]) -> None:
        super().__init__()
        self._night = night

    def notify(self, context: Any) -> None:
        """Log the failure and post it to the webhook; one that cannot be reached is an error in the task's log."""
        facts = self._facts(context)
        get_logger().error("a task failed permanently", **facts)
        if (url := settings().alert_url) is not None:
            post(url.get_secret_value(), facts)

    def _facts(self, context: Any) -> dict[str, str]:
        instance, error = context.get("ti"), context.get("exception")
        cause = getattr(error, "__cause__", None)
        try:
            night = self._night(context)
        except (EcclipError, KeyError):
            night = "unknown"
        facts = {
            "dag": getattr(instance, "dag_id", ""),
            "task": getattr(instance, "task_id", ""),
            "night": night,
            "run": getattr(instance, "run_id", ""),
            "error": str(error) if error else "the task was ended from outside",
            "next": (cause.next_step if isinstance(cause, EcclipError) else "") or _FIX,
            "log": str(getattr(instance, "log_url", "")),
        }
        return {name: _short(shown(value)) for name, value in facts.items()}


def post(url: str, facts: dict[str, str]) -> None:
    """Post the facts as JSON, with a ``text`` as chat servers read it.

    Raises:
        ConfigError: the address is not HTTP or HTTPS.
        OSError: it cannot be reached, or refuses, three times.
    """
    if not url.startswith(("https://", "http://")):
        raise ConfigError("alerts go to an HTTP address", limit="https://...", next_step="set ECCLIP_ALERT_URL")
    body = json.dumps({"text": text_of(facts), **facts}).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    send = retry(stop=stop_after_attempt(_ATTEMPTS), wait=wait_exponential(0.5, max=5), reraise=True)(_send)
    send(request)


def text_of(facts: dict[str, str]) -> str:
    """Return the alert as readable text; nothing from a dump may become a link or a mention in a chat."""
    lines = (
        f"ecclip: {facts['dag']}.{facts['task']} failed for the night {facts['night']}",
        facts["error"],
        f"next: {facts['next']}",
        f"log: {facts['log']}",
    )
    text = "\n".join(lines)
    for sign, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(sign, entity)
    return text.replace("@", "@\u200b")  # so that @channel notifies nobody


def _send(request: urllib.request.Request) -> None:
    try:
        urllib.request.urlopen(request, timeout=_TIMEOUT_S).close()
    except urllib.error.HTTPError as error:
        error.close()
        raise


def _short(text: str) -> str:
    return text if len(text) <= _CHARACTERS else f"{text[:_CHARACTERS]}…"
