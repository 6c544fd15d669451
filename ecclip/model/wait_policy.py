"""Make the threads of torch sleep while they wait for each other instead of spinning; imported before torch.

On a machine that is shared (scheduler, database, Spark on the same cores) spinning threads take the time that the
others need to arrive: on two busy cores a training step took four times as long. ``OMP_WAIT_POLICY=ACTIVE`` in the
environment brings spinning back, for a machine of its own.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
WAIT_POLICY = os.environ["OMP_WAIT_POLICY"]
