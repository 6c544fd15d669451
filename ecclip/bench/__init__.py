"""Benchmarks: figures with the machine and a peer in the same run, in one format (``results/<name>.json``).

Measuring imports with torch, timm, transformers, numpy, pyarrow and Pillow alone (:mod:`ecclip.bench.train`,
:mod:`ecclip.bench.train_gpu`); :mod:`ecclip.bench.commands` is the command line.
"""

from ecclip.bench.machine import new_result
from ecclip.bench.result import OURS, OUTCOME, Result, Row, read_result, write_result
from ecclip.bench.tables import fill_tables, markdown
from ecclip.errors import ResultError

__all__ = [
    "OURS",
    "OUTCOME",
    "Result",
    "ResultError",
    "Row",
    "commands",
    "fill_tables",
    "markdown",
    "new_result",
    "read_result",
    "serve",
    "task_cells",
    "write_result",
]
