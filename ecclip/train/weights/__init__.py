"""What leaves training: an average over its steps, a mixture with its start, at a size of photos, by linear probes."""

__all__ = ["averaging", "interpolation", "photo_size", "probe"]
