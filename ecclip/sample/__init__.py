"""A believable, messy marketplace: nightly dumps drawn by code, the same bytes from the same seed."""

from ecclip.sample.config import FaultShares, SampleConfig
from ecclip.sample.generation import generate

__all__ = ["FaultShares", "SampleConfig", "generate"]
