"""A release on a disk that is full at each of its steps; run as a program in a mount namespace of its own.

``unshare -rm python full_disk.py FOLDER`` prints what each step said and what answers, as JSON.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from serving_bundles import tiny_bundle
from serving_server import ENVIRONMENTS, SERVING_PYTHON

from ecclip.core import run_command, settings

OLD, NEW = "2026-11-01", "2026-11-02"
STEPS = ("register", "gate", "bless", "promote")
LEFT = (0, 40_000, 400_000)  # bytes: nothing, a page of a database, a part of a bundle
_PIECE = 1 << 16


def main(folder: Path) -> list[dict[str, Any]]:
    """Run a night's release on a full disk, step by step; each step is run again once there is room."""
    workspace = _workspace(folder)
    from ecclip import release
    from ecclip.local import stop_services
    from ecclip.serving import live_version

    def call(name: str, night: str) -> Callable[[], object]:
        return lambda: getattr(release, f"{name}_night")(night)

    seen: list[dict[str, Any]] = []
    try:
        for name in STEPS:
            assert (name, *_in_child(call(name, OLD))) == (name, 0, "")
        for name in STEPS:
            for left in LEFT:
                with _full(folder, left):
                    status, said = _in_child(call(name, NEW))
                    seen.append({"step": name, "left": left, "status": status, "said": said, "live": live_version()})
            assert (name, *_in_child(call(name, NEW))) == (name, 0, "")
            seen.append({"step": name, "left": None, "status": 0, "said": "", "live": live_version()})
        halves = [str(path) for path in workspace.rglob("*.tmp-*")]
        assert halves == []
    finally:
        stop_services(("triton",))
    return seen


def _workspace(folder: Path) -> Path:
    workspace = folder / "workspace"
    (workspace / "work" / "mlflow").mkdir(parents=True)
    (workspace / "params.yaml").write_text("gate: {metrics: {category/both/top1: {floor: 0.0}}}\n")
    os.environ |= {
        "ECCLIP_WORKSPACE": str(workspace),
        "ECCLIP_TRITON_HOME": str(ENVIRONMENTS / "triton"),
        "ECCLIP_SERVING_PYTHON": str(SERVING_PYTHON),
    }
    settings.cache_clear()
    for number, night in ((1, OLD), (2, NEW)):
        shutil.copytree(tiny_bundle(number), workspace / "work" / "nights" / night / "bundle")
    return workspace


@contextmanager
def _full(folder: Path, left: int) -> Iterator[None]:
    ballast = folder / "ballast"
    try:
        with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while (free := shutil.disk_usage(folder).free) > left:
                file.write(bytes(min(_PIECE, free - left)))
        yield
    finally:
        ballast.unlink()


def _in_child(call: Callable[[], object]) -> tuple[int, str]:
    """Return exit status and error text of a command that is run in a process of its own."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        text, status = io.StringIO(), 0
        try:
            with contextlib.redirect_stderr(text), contextlib.redirect_stdout(io.StringIO()):
                run_command(call)
        except SystemExit as end:
            status = int(end.code or 0)
        except BaseException as error:  # noqa: BLE001 the parent must see it
            status = 2
            text.write(repr(error))
        os.write(write, text.getvalue().encode()[-4000:] if status else b"")
        os._exit(status)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        said = pipe.read().decode()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), said


if __name__ == "__main__":
    disk = Path(sys.argv[1])
    tiny_bundle(1), tiny_bundle(2)  # made where there is room
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200m", "tmpfs", str(disk)], check=True)
    sys.stdout.write(json.dumps(main(disk)))
