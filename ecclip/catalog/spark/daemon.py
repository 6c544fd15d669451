"""``pyspark.daemon`` with the libraries of the catalog's functions: Spark forks every Python worker from this process.

A worker imports them in a second of processor time, and Spark ends each that was idle for a minute. Only imports happen
here: nothing that is imported starts threads that a worker would miss after the fork.
"""

from __future__ import annotations

import gc
from importlib import import_module

from pyspark.daemon import manager

_BY_MOST_FUNCTIONS = (
    "pyspark.worker",
    "pyarrow",
    "pandas",
    "ecclip.core.log",
    "ecclip.catalog.spark.batches",
    "PIL.Image",
)


def main() -> None:
    """Import the libraries and become the daemon; the arguments are those of ``pyspark.daemon``."""
    gc.disable()  # what is imported stays
    for name in _BY_MOST_FUNCTIONS:
        import_module(name)
    gc.freeze()  # a worker looks for garbage after every task
    gc.enable()
    manager()


if __name__ == "__main__":
    main()
