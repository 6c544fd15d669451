"""What the DAGs add to Airflow: a sensor for the night's export, a watcher of @champion, a notifier of what failed.

Importable by the triggerer, which has no DAGs folder on its path.
"""

from ecclip.orchestration.alert import Alert
from ecclip.orchestration.aliases import AliasTrigger
from ecclip.orchestration.wait import DumpSensor, DumpTrigger

__all__ = ["Alert", "AliasTrigger", "DumpSensor", "DumpTrigger"]
