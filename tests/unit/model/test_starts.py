"""A joint model that people know, taken over whole: it answers as the original does."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import re
import string
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from joint_models import SIDE, TOKENS, WORDS, as_open_clip, clip_folder, siglip_folder
from PIL import Image
from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Resize
from transformers import CLIPTokenizer

from ecclip.errors import ConfigError, ModelError
from ecclip.model import Towers, TowersConfig, build_towers, encode_texts, load_towers, save_towers, towers_preset

ROOT = Path(__file__).parents[3]
PEERS = ROOT / "work" / "env" / "bench"
TITLES = ["Red mug", "a BLUE cotton tote-bag, size XL (no_5)!", "", "the the the the the the the the the the the the"]
_Writer = Callable[[Path], Any]


def towers_of(folder: Path) -> Towers:
    return build_towers(TowersConfig(start=f"path:{folder}"))


def photo(width: int, height: int, seed: int = 0) -> Image.Image:
    noise = np.random.default_rng(seed).integers(0, 256, (height // 4, width // 4, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)


def as_jpeg(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def asked(towers: Towers) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return pixels of three photos as integers and as the original takes them, ids and mask of the titles."""
    preprocessor = towers.preprocessor()
    photos = [as_jpeg(photo(*size)) for size in ((48, 40), (40, 60), (64, 64))]
    pixels = torch.from_numpy(np.stack([preprocessor.pixels(one) for one in photos]))
    scaled = (pixels / 255 - towers.image_encoder.pixel_mean / 255) / (towers.image_encoder.pixel_std / 255)
    ids, mask = (torch.from_numpy(one) for one in preprocessor.tokens(TITLES))
    return pixels, scaled, ids, mask


def logits(towers: Towers, pixels: torch.Tensor, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    image, text = towers(pixels, ids, mask)
    bias = 0.0 if towers.logit_bias is None else towers.logit_bias
    scaled: torch.Tensor = towers.logit_scale.exp() * image @ text.T + bias
    return scaled


@pytest.mark.parametrize("write", [clip_folder, lambda folder: clip_folder(folder, activation="gelu"), siglip_folder])
def test_a_start_of_transformers_answers_as_the_original_does(write: _Writer, tmp_path: Path) -> None:
    original = write(tmp_path)
    towers = towers_of(tmp_path)
    pixels, scaled, ids, mask = asked(towers)
    with torch.inference_mode():
        # SigLIP's text tower is asked without a mask, as its own processor does
        attention = None if towers.design.reading.fixed_length else mask
        expected = original(input_ids=ids, pixel_values=scaled, attention_mask=attention).logits_per_image
        torch.testing.assert_close(logits(towers, pixels, ids, mask), expected, atol=1e-4, rtol=1e-5)
    assert (towers.logit_bias is not None) == towers.design.reading.fixed_length
    assert expected.std() > 0.1, "random weights that tell listings apart"


def test_a_start_of_open_clip_answers_as_its_twin_of_transformers_does(tmp_path: Path) -> None:
    original = clip_folder(tmp_path / "transformers")
    as_open_clip(original, tmp_path / "transformers", tmp_path / "open_clip")
    towers = towers_of(tmp_path / "open_clip")
    pixels, scaled, ids, mask = asked(towers)
    with torch.inference_mode():
        expected = original(input_ids=ids, pixel_values=scaled, attention_mask=mask).logits_per_image
        torch.testing.assert_close(logits(towers, pixels, ids, mask), expected, atol=1e-4, rtol=1e-5)
    assert float(towers.image_encoder.pixel_std.flatten()[0]) == 255 * 0.25


def test_the_real_open_clip_answers_as_the_start_that_is_taken_from_it(tmp_path: Path) -> None:
    if not importlib.util.find_spec("open_clip") and not (PEERS / "open_clip").is_dir():
        pytest.skip("open_clip is not installed: make bench-env")
    support = ROOT / "tests" / "support"
    paths = [support, ROOT, PEERS, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))}
    subprocess.run([sys.executable, support / "open_clip_originals.py", tmp_path], env=environment, check=True)
    folders = sorted(path for path in tmp_path.iterdir() if path.is_dir())
    assert [folder.name for folder in folders] == ["clip", "siglip", "timm"]
    for folder in folders:
        known = np.load(folder / "known.npz")
        towers = build_towers(TowersConfig(start=f"open_clip:local-dir:{folder}"))
        preprocessor = towers.preprocessor()
        pixels = np.stack([preprocessor.pixels(known[f"photo_{number}"].tobytes()) for number in range(2)])
        scaled = (pixels - towers.image_encoder.pixel_mean.numpy()) / towers.image_encoder.pixel_std.numpy()
        np.testing.assert_allclose(scaled, known["pixels"], atol=1e-5)
        ids, mask = preprocessor.tokens([str(title) for title in known["titles"]])
        assert [row[own == 1].tolist() for row, own in zip(ids, mask, strict=True)] == [
            row[own == 1].tolist() for row, own in zip(known["ids"], mask, strict=True)
        ]
        with torch.inference_mode():
            found = logits(towers, *(torch.from_numpy(one) for one in (pixels, ids, mask)))
        np.testing.assert_allclose(found.numpy(), known["logits"], atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("write", [clip_folder, siglip_folder])
def test_a_start_that_is_saved_is_the_same_without_its_folder(write: _Writer, tmp_path: Path) -> None:
    write(tmp_path / "shelf" / "model")
    towers = towers_of(tmp_path / "shelf" / "model")
    pixels, _, ids, mask = asked(towers)
    save_towers(towers, tmp_path / "towers")
    (tmp_path / "shelf").rename(tmp_path / "gone")
    loaded = load_towers(tmp_path / "towers")
    with torch.inference_mode():
        assert torch.equal(logits(loaded, pixels, ids, mask), logits(towers, pixels, ids, mask))
    assert loaded.design == towers.design
    assert str(tmp_path) not in (tmp_path / "towers" / "towers.json").read_text()
    asked_for = TowersConfig(start=f"path:{tmp_path / 'shelf' / 'model'}")
    assert asked_for.describes(loaded.cfg)
    assert not TowersConfig(start="hf:another/model").describes(loaded.cfg)
    assert not TowersConfig().describes(loaded.cfg)


def test_clips_own_tokenizer_is_taken_over(tmp_path: Path) -> None:
    clip_folder(tmp_path)
    own = CLIPTokenizer.from_pretrained(tmp_path)
    ids, mask = towers_of(tmp_path).preprocessor().tokens(TITLES)
    expected = own(TITLES, truncation=True, max_length=TOKENS)["input_ids"]
    assert [row[kept == 1].tolist() for row, kept in zip(ids, mask, strict=True)] == expected


def test_texts_of_siglip_are_canonical_and_of_one_length(tmp_path: Path) -> None:
    siglip_folder(tmp_path)
    ids, mask = towers_of(tmp_path).preprocessor().tokens(TITLES, pad_to_longest=True)
    assert ids.shape == mask.shape == (len(TITLES), TOKENS)
    assert mask.all(), "its tower reads what fills a text up, too"
    known = {word: number for number, word in enumerate(WORDS, start=2)}
    for title, row in zip(TITLES, ids.tolist(), strict=True):
        plain = title.lower().translate(str.maketrans("", "", string.punctuation))  # big_vision's canonicalize_text
        words = [known.get(word, 1) for word in re.sub(r"\s+", " ", plain).split()]
        assert row == (words[: TOKENS - 1] + [0] * TOKENS)[:TOKENS]


def test_siglip_2_keeps_punctuation_and_reads_small_letters(tmp_path: Path) -> None:
    siglip_folder(tmp_path, tokenizer="GemmaTokenizer")
    ids, _ = towers_of(tmp_path).preprocessor().tokens(["RED mug", "red mug!"])
    red, mug = (WORDS.index(word) + 2 for word in ("red", "mug"))
    assert ids[:, :3].tolist() == [[red, mug, 0], [red, 1, 0]]


@pytest.mark.parametrize("size", [(41, 57), (57, 41), (36, 36), (40, 131), (33, 34)])
def test_a_photo_is_resized_and_cut_as_the_original_does_to_the_pixel(size: tuple[int, int], tmp_path: Path) -> None:
    clip_folder(tmp_path)
    data = as_jpeg(photo(*size))
    original = Compose([Resize(SIDE + 4, InterpolationMode.BICUBIC), CenterCrop(SIDE)])
    expected = np.asarray(original(Image.open(io.BytesIO(data)))).transpose(2, 0, 1)
    assert np.array_equal(towers_of(tmp_path).preprocessor().pixels(data), expected)


def test_a_photo_for_siglip_is_squashed_in_training_too(tmp_path: Path) -> None:
    siglip_folder(tmp_path)
    preprocessor, data = towers_of(tmp_path).preprocessor(), as_jpeg(photo(60, 40))
    picture = Image.open(io.BytesIO(data))
    expected = np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.BILINEAR)).transpose(2, 0, 1)
    assert np.array_equal(preprocessor.pixels(data), expected)
    assert np.array_equal(preprocessor.part(data, 1.0, (0.3, 0.9)), expected)
    part = preprocessor.part(data, 0.5, (0.0, 1.0))
    corner = picture.resize((SIDE, SIDE), Image.Resampling.BILINEAR, box=(0, 20, 30, 40))
    assert np.array_equal(part, np.asarray(corner).transpose(2, 0, 1))


def test_a_text_is_embedded_alone_as_in_a_batch(tmp_path: Path) -> None:
    for write in (clip_folder, siglip_folder):
        folder = tmp_path / write.__name__
        write(folder)
        towers = towers_of(folder)
        texts = [f"{title} {number}" for number, title in enumerate(TITLES * 5)]
        together = encode_texts(towers, towers.preprocessor(), texts, 16)
        alone = np.concatenate([encode_texts(towers, towers.preprocessor(), [text]) for text in texts])
        np.testing.assert_allclose(together, alone, atol=1e-5)


def _without(folder: Path, name: str) -> None:
    (folder / name).unlink()


def _changed(folder: Path, name: str, **values: Any) -> None:
    path = folder / name
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: _without(folder, "config.json"), r"lacks a file.*config\.json"),
        (lambda folder: _without(folder, "model.safetensors"), r"model\.safetensors"),
        (lambda folder: _without(folder, "merges.txt"), r"no tokenizer.*towers\.tokenizer"),
        (lambda folder: _without(folder, "preprocessor_config.json"), r"preprocessor_config\.json"),
        (lambda folder: (folder / "config.json").write_text("{"), "no JSON"),
        (lambda folder: _changed(folder, "config.json", model_type="siglip2"), "siglip2.*clip, siglip.*NaFlex"),
        (lambda folder: _changed(folder, "preprocessor_config.json", crop_size=SIDE - 8), "crop_size"),
        (lambda folder: _changed(folder, "preprocessor_config.json", rescale_factor=1.0), "1/255"),
        (lambda folder: _changed(folder, "preprocessor_config.json", do_resize=False), "do_resize"),
        (lambda folder: _changed(folder, "preprocessor_config.json", resample=4), "filter"),
    ],
)
def test_what_cannot_be_taken_over_exactly_is_refused_and_says_why(
    spoil: Callable[[Path], object], message: str, tmp_path: Path
) -> None:
    clip_folder(tmp_path)
    spoil(tmp_path)
    with pytest.raises(ModelError, match=f"(?s){message}"):
        towers_of(tmp_path)


@pytest.mark.parametrize(
    ("part", "values", "message"),
    [
        ("vision_cfg", {"attentional_pool": True}, "attentional_pool"),
        ("vision_cfg", {"layers": [2, 2, 2, 2]}, "ResNet"),
        ("vision_cfg", {"timm_model_name": "test_vit", "timm_proj": "mlp"}, "timm_proj: mlp"),
        ("text_cfg", {"hf_model_name": "bert"}, "hf_model_name"),
        ("text_cfg", {"pool_type": "first"}, "pool_type: first"),
        ("text_cfg", {"layers": 1}, "not those of its configuration"),
    ],
)
def test_a_part_of_open_clip_that_is_not_represented_is_named(
    part: str, values: dict[str, Any], message: str, tmp_path: Path
) -> None:
    as_open_clip(clip_folder(tmp_path / "transformers"), tmp_path / "transformers", tmp_path / "open_clip")
    path = tmp_path / "open_clip" / "open_clip_config.json"
    config = json.loads(path.read_text())
    config["model_cfg"][part] |= values
    path.write_text(json.dumps(config))
    with pytest.raises(ModelError, match=message):
        towers_of(tmp_path / "open_clip")


@pytest.mark.parametrize(
    ("start", "message"),
    [
        ("laion/CLIP", r"not a start.*open_clip:hf-hub"),
        ("path:", "not a start"),
        ("path:/no/such/folder", "folder of a start is missing"),
        ("open_clip:ViT-B-32/no_such_tag", r"laion2b_s34b_b79k.*hf-hub"),
    ],
)
def test_a_start_that_is_named_wrongly_is_refused_before_anything_is_downloaded(start: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        build_towers(TowersConfig(start=start))


def test_what_a_start_brings_is_not_given_beside_it() -> None:
    with pytest.raises(ConfigError, match=r"image_size, vision.*remove"):
        towers_preset({"start": "hf:shop/clip", "image_size": 160, "vision": "resnet50", "drop_path": 0.1})
    with pytest.raises(ConfigError, match="preset"):
        towers_preset({"start": "hf:shop/clip", "preset": "base"})
    assert towers_preset({"start": "hf:shop/clip", "drop_path": 0.1}) == {"start": "hf:shop/clip", "drop_path": 0.1}


_HUB = """
import sys
from ecclip.errors import ModelError
from ecclip.model import TowersConfig, build_towers
print("TAKEN", build_towers(TowersConfig(start="hf:shop/clip")).cfg.embedding_dim)
try:
    build_towers(TowersConfig(start="hf:shop/another@v2"))
except ModelError as error:
    print("REFUSED", error)
"""


def test_the_users_own_settings_of_the_hub_decide_and_offline_says_what_to_do(tmp_path: Path) -> None:
    cached = tmp_path / "home" / "hub" / "models--shop--clip"
    clip_folder(cached / "snapshots" / ("0" * 40))
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text("0" * 40)
    own = {"HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1"}
    environment = {key: value for key, value in os.environ.items() if not key.startswith("HF_")} | own
    done = subprocess.run([sys.executable, "-c", _HUB], env=environment, capture_output=True, text=True, check=True)
    taken, refused = done.stdout.splitlines()
    assert taken == "TAKEN 16"
    assert re.search(r"hub is not to be reached; value: shop/another; .*config\.json.*HF_HUB_OFFLINE", refused)
