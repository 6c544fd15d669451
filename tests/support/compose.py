"""infra/compose.yaml as Compose reads it, and its services as they would start here: other folders, hosts and ports."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

INFRA = Path(__file__).parents[2] / "infra"
_VARIABLE = re.compile(r"\$\{(\w+):\?[^}]*\}")


@dataclass(frozen=True)
class Composed:
    """Services of one or several compose files, the later ones over the earlier ones, and the variables they want."""

    services: dict[str, dict[str, Any]]
    wanted: frozenset[str]

    def of_image(self, image: str) -> dict[str, dict[str, Any]]:
        """Return the services of an image by name."""
        return {name: service for name, service in self.services.items() if service.get("image") == image}

    def command(self, name: str, places: Mapping[str, str]) -> list[str]:
        """Return program and arguments of a service, every text of ``places`` replaced by another."""
        service = self.services[name]
        return [replaced(word, places) for word in [*service.get("entrypoint", ()), *service["command"]]]

    def environment(self, name: str, places: Mapping[str, str]) -> dict[str, str]:
        """Return the variables that a service is given, likewise replaced."""
        return {key: replaced(str(value), places) for key, value in self.services[name]["environment"].items()}


def composed(*names: str, values: Mapping[str, str] | None = None) -> Composed:
    """Return the files of infra/ together; variables have the value of ``values``, else their own name in small."""
    services: dict[str, dict[str, Any]] = {}
    wanted: set[str] = set()
    for name in names:
        text = (INFRA / name).read_text()
        wanted |= set(_VARIABLE.findall(text))
        filled = _VARIABLE.sub(lambda match: (values or {}).get(match[1], match[1].lower()), text)
        assert "${" not in filled, "a variable that may be left out"
        for service, described in yaml.safe_load(filled)["services"].items():
            services[service] = _merged(services.get(service, {}), described)
    return Composed(services, frozenset(wanted))


def replaced(text: str, places: Mapping[str, str]) -> str:
    """Return a text with everything in ``places`` replaced, longer texts first."""
    for old in sorted(places, key=len, reverse=True):
        text = text.replace(old, places[old])
    return text


def _merged(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """Merge as Compose does: mappings key by key, volumes and ports together, everything else replaced."""
    merged = {**before, **after}
    if "environment" in after:
        merged["environment"] = {**before.get("environment", {}), **after["environment"]}
    for listed in ("volumes", "ports"):
        if listed in after:
            merged[listed] = [*before.get(listed, []), *after[listed]]
    return merged
