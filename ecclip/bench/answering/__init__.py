"""The parts of ``ecclip bench serve``: a load generator in its own process, the peers, and what is measured of them."""

__all__ = ["alias", "deployments", "leaks", "onnx_bundle", "overload", "scene", "sizes", "throughput"]
