"""How a server with a GPU computes the towers: precision, the batches of its engines, what a build may use."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from pydantic import Field

from ecclip.client import MAX_BATCH
from ecclip.core import StageConfig
from ecclip.formats.bundle import Bundle, Precision

TENSORRT_VERSION = "11.1.0.106"  # of the Triton image (infra/release.yaml)
Profile = dict[str, tuple[list[int], list[int], list[int]]]  # by input: the smallest, the usual and the largest shape


class EngineConfig(StageConfig):
    """Towers on a server with a GPU; the embedded server computes in float32 on the CPU whatever this says."""

    precision: Precision = Field(
        "float32", description="of the towers' graphs; half precision must be among export.precisions"
    )
    usual_batch: int = Field(
        8, ge=1, le=MAX_BATCH, description="listings per call that an engine is tuned for; by judgment"
    )
    # TensorRT's own default, and what it calls the largest that a build in reasonable time may have
    optimization_level: int = Field(3, ge=0, le=5, description="effort of a build; the default of TensorRT")
    workspace_mib: int = Field(2048, ge=64, description="memory of the GPU for one layer's scratch space, by judgment")


def bundle_shapes(bundle: Path) -> dict[str, int]:
    """Return the sizes of what goes into a bundle's towers and comes out of them."""
    described = Bundle(bundle).description()
    shapes = {name: int(described[name]) for name in ("embedding_dim", "image_size", "max_tokens")}
    for tower in ("image_tower", "text_tower"):
        with np.load(Bundle(bundle).known_answer(tower)) as arrays:
            shapes[f"{tower}_features"] = int(arrays["features"].shape[1])
    return shapes


def profiles_of(shapes: Mapping[str, int], usual_batch: int) -> dict[str, Profile]:
    """Return the batches that each tower is optimised for, by graph and input; ``shapes`` are those of a bundle."""
    image, tokens = [3, shapes["image_size"], shapes["image_size"]], [shapes["max_tokens"]]
    rows = (1, usual_batch, MAX_BATCH)

    def batches(one: list[int]) -> tuple[list[int], list[int], list[int]]:
        return [rows[0], *one], [rows[1], *one], [rows[2], *one]

    return {
        "image_tower": {"pixels": batches(image)},
        "text_tower": {"ids": batches(tokens), "mask": batches(tokens)},
    }
