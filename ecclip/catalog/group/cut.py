"""Split components that chains have joined: one above the cap is cut at its weakest evidence."""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from ecclip.catalog.group.evidence import CATALOG_ID

_SCHEMA = "node string, split string"


def split(edges: DataFrame, labels: DataFrame, cap: int) -> DataFrame | None:
    """Return ``node, split`` for the nodes of components (``labels``: node, component) of more than ``cap`` listings.

    None when there are none. Each large component is read by one Python process as ids alone.
    """
    large = labels.groupBy("component").agg(F.count("*").alias("size")).where(F.col("size") > cap)
    large = large.select("component").localCheckpoint()
    if large.isEmpty():
        return None
    inside = labels.join(large, "component").withColumnRenamed("node", "left")
    shop = (F.col("evidence") == CATALOG_ID).alias("fixed")
    chosen = edges.join(inside, "left").select("component", "left", "right", "weight", shop)

    def parts(table: pa.Table) -> pa.Table:
        found = split_component((tuple(row.values())[1:] for row in table.to_pylist()), cap)
        return pa.table({"node": list(found), "split": list(found.values())})

    return chosen.groupBy("component").applyInArrow(parts, _SCHEMA).localCheckpoint()


def split_component(edges: Iterable[tuple[str, str, float, bool]], cap: int) -> dict[str, str]:
    """Return the part that each node of ``edges`` (left, right, weight, fixed) belongs to: its smallest node.

    Kruskal's algorithm with a limit: edges join from the strongest to the weakest (ties by name), each only when the
    joined part has at most ``cap`` nodes. Fixed edges always join. The order of ``edges`` does not matter.
    """
    parent: dict[str, str] = {}
    size: dict[str, int] = {}

    def root(node: str) -> str:
        size.setdefault(node, 1)
        while parent.setdefault(node, node) != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for left, right, _, fixed in sorted(edges, key=lambda edge: (not edge[3], -edge[2], edge[0], edge[1])):
        low, high = sorted((root(left), root(right)))
        if low != high and (fixed or size[low] + size[high] <= cap):
            parent[high] = low
            size[low] += size[high]
    return {node: root(node) for node in sorted(parent)}
