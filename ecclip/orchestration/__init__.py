"""What the DAGs add to Airflow: a sensor that waits for the night's export, and a notifier of failures.

Importable by the triggerer, which has no DAGs folder on its path.
"""

from ecclip.orchestration.alert import Alert
from ecclip.orchestration.wait import DumpSensor, DumpTrigger

__all__ = ["Alert", "DumpSensor", "DumpTrigger"]
