"""What tests of the DAGs share."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

DAGS = Path(__file__).parents[2] / "dags"


@pytest.fixture(scope="module")
def tasks_module(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What the DAGs share; Airflow reads its home when it is imported."""
    os.environ.setdefault("AIRFLOW_HOME", str(tmp_path_factory.mktemp("airflow")))
    sys.path.insert(0, str(DAGS))
    import ecclip_tasks

    return ecclip_tasks
