"""TensorRT-RTX for tests: an environment of its own, which builds engines without a GPU."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]


def rtx_python() -> Path:
    """Return the Python that has TensorRT-RTX; its environment is made if it is not there."""
    if given := os.environ.get("ECCLIP_TEST_RTX_PYTHON"):
        return Path(given)
    subprocess.run([str(ROOT / "scripts" / "rtx-env")], check=True)
    return ROOT / "work" / "env" / "rtx" / "bin" / "python"
