"""Make torch's threads sleep instead of spin while they wait for each other; imported before torch.

On a machine that is shared (scheduler, database, Spark on the same cores) spinning threads take the time that the
others need to arrive: on two busy cores a training step took four times as long. ``OMP_WAIT_POLICY=ACTIVE`` in the
environment restores spinning, for a dedicated machine.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
WAIT_POLICY = os.environ["OMP_WAIT_POLICY"]
