"""Which weights leave a training: an average over its steps, a mixture with its start, chosen by linear probes."""

__all__ = ["averaging", "interpolation", "probe"]
