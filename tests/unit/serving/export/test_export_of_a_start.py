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


def test_bundles_of_known_starts_answer_on_a_real_server_as_torch_does(tmp_path: Path) -> None:
    clip, described = bundle_of(clip_folder, tmp_path / "clip")
    cut = {"resize": "crop", "shorter_side": SIDE + 4, "resample": "bicubic", "fixed_length": False}
    assert described["reading"].items() >= cut.items()
    siglip, described = bundle_of(siglip_folder, tmp_path / "siglip")
    squashed = {"resize": "squash", "resample": "bilinear", "pad_id": 0, "fixed_length": True}
    assert described["reading"].items() >= squashed.items()
    assert (described["image_size"], described["max_tokens"]) == (SIDE, TOKENS)
    # a blessing asks the server the golden listings and compares its answers with those of torch
    with live_server(tmp_path / "work", bundle=clip) as (server, deployment):
        server.repository.stage(siglip, 2)
        assert deployment.bless(2).reasons == []
