"""From a messy dump to a clean, grouped, published snapshot: one folder per stage, in the order of the night.

``source`` (extract), ``mapping``, ``land``, ``ingest``, ``gate`` (check), ``clean``, ``group``, ``publish``; ``dump``
is the contract and the row model that all of them read by, ``spark`` the session. Each stage is ``<folder>/stage.py``;
other rooms import from a folder what its ``__all__`` names. Nothing is imported here: a stage, and each Python worker
of Spark, loads what it uses and no more.
"""

__all__ = ["clean", "dump", "gate", "group", "ingest", "land", "mapping", "publish", "source", "spark"]
