"""Folders that a test has written, published as a stage publishes its output."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ecclip.core import Manifest, canonical_json, sha256_file, write_atomic


def seal(folder: Path, stage: str, key: str, **facts: Any) -> Path:
    """Write the manifest of what lies in a folder, with ``facts`` as the stage would tell them; return the folder."""
    files = {
        path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": sha256_file(path)}
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path != folder / "manifest.json"
    }
    told: dict[str, Any] = {"config": {}, "inputs": {}, "read": {}, "written": {}, "dropped": {}, "detail": {}, **facts}
    manifest = Manifest.model_validate({"stage": stage, "key": key, "files": files, **told})
    write_atomic(folder / "manifest.json", canonical_json(manifest.model_dump()))
    return folder
