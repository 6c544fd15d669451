"""The split of a group: a pure function of its id, so that a group never crosses splits."""

from __future__ import annotations

import hashlib

from pyspark.sql import Column
from pyspark.sql import functions as F


def split_of(group_id: str) -> str:
    """Return train (80 %), validation or test (10 % each) for a group id."""
    bucket = int(hashlib.sha256(group_id.encode()).hexdigest()[:8], 16) % 10
    return "train" if bucket < 8 else "validation" if bucket == 8 else "test"


def split_column(group_id: str) -> Column:
    """Return the same rule as a Spark column over the column named ``group_id``."""
    bucket = F.conv(F.substring(F.sha2(group_id, 256), 1, 8), 16, 10).cast("bigint") % 10
    return F.when(bucket < 8, F.lit("train")).when(bucket == 8, F.lit("validation")).otherwise(F.lit("test"))
