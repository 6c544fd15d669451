"""A bundle whose towers began from a known model reads photos and texts by its rules, wherever it answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from joint_models import SIDE, TOKENS, clip_folder, siglip_folder
from serving_bundles import export_towers
from serving_server import live_server

from ecclip.model import TowersConfig, build_towers

pytestmark = pytest.mark.heavy


def bundle_of(write: Callable[[Path], object], folder: Path) -> tuple[Path, dict[str, Any]]:
    write(folder / "model")
    bundle = export_towers(folder, build_towers(TowersConfig(start=f"path:{folder / 'model'}")))
    return bundle, json.loads((bundle / "bundle.json").read_text())


def clip_reading(described: dict[str, Any]) -> bool:
    cut = {"resize": "crop", "shorter_side": SIDE + 4, "resample": "bicubic", "fixed_length": False}
    return bool(described["reading"].items() >= cut.items())


def siglip_reading(described: dict[str, Any]) -> bool:
    squashed = {"resize": "squash", "resample": "bilinear", "pad_id": 0, "fixed_length": True}
    sizes = (described["image_size"], described["max_tokens"])
    return bool(described["reading"].items() >= squashed.items()) and sizes == (SIDE, TOKENS)


@pytest.mark.parametrize(
    ("write", "is_read_so"),
    [
        pytest.param(clip_folder, clip_reading, id="clip", marks=pytest.mark.slow),
        pytest.param(siglip_folder, siglip_reading, id="siglip", marks=pytest.mark.slow),
    ],
)
def test_a_bundle_of_a_known_start_answers_on_a_real_server_as_torch_does(
    tmp_path: Path, write: Callable[[Path], object], is_read_so: Callable[[dict[str, Any]], bool]
) -> None:
    bundle, described = bundle_of(write, tmp_path / "start")
    assert is_read_so(described), described["reading"]
    # its blessing asked the server the golden listings and compared the answers with those of torch
    with live_server(tmp_path / "work", bundle=bundle) as (_, deployment):
        blessing = deployment.repository.blessing(1)
    assert blessing is not None
    assert blessing["passed"]
