"""ecclip: nightly product dumps in, product understanding over gRPC out."""

__version__ = "0.1.0"
