"""``airflow scheduler`` with the libraries of its tasks: LocalExecutor forks every task, which then imports nothing.

torch, transformers, timm and MLflow take some six seconds of processor time to import, and most tasks of a night need
them. Only imports happen here: nothing that is imported starts threads that a task would miss after the fork.
"""

from __future__ import annotations

import atexit
import gc
import sys
from importlib import import_module

from ecclip.core import remember_code

_BY_MOST_TASKS = (
    "ecclip.train",  # before all: it sets how threads wait, and imports torch
    "ecclip.embed.stage",
    "ecclip.tasks",
    "ecclip.serving",
    "ecclip.release",
    "mlflow.store.tracking.sqlalchemy_store",
    "mlflow.store.model_registry.sqlalchemy_store",
)


def main() -> None:
    """Import the libraries and become the scheduler; the arguments are those of ``airflow scheduler``."""
    gc.disable()  # what is imported stays
    remember_code()  # a task that is forked once it has changed would run the code of now
    for name in _BY_MOST_TASKS:
        import_module(name)
    gc.freeze()  # no task looks at it, and so copies it
    atexit.register(gc.unfreeze)  # else a library that counts its objects takes them for lost
    gc.enable()
    from airflow.__main__ import main as airflow

    sys.argv[1:1] = ["scheduler"]
    airflow()


if __name__ == "__main__":
    main()
