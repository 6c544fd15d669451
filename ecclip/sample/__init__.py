"""A believable, messy marketplace: nightly dumps drawn by code, the same bytes from the same seed."""

from ecclip.sample._config import FaultShares, SampleConfig
from ecclip.sample._generate import generate

__all__ = ["FaultShares", "SampleConfig", "generate"]
