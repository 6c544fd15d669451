"""Preprocessing gives the same bytes in training and in serving, whatever versions of libraries each has."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hostile_texts import HOSTILE_TEXTS
from PIL import Image
from serving_bundles import tiny_bundle
from serving_server import SERVING_PYTHON

_SKEW = """
import hashlib, json, sys
from pathlib import Path
folder = Path(sys.argv[1])
sys.path[:0] = [str(folder / "code"), *map(str, (folder / "code").glob("*.zip"))]
from ecclip.product_input import Preprocessor, PreprocessingError, title_text
import numpy
preprocessor = Preprocessor(64, 16, folder / "tokenizer.json")
found = {"numpy": numpy.__version__}
for path in sorted(folder.glob("photo-*")):
    try:
        found[path.name] = hashlib.sha256(preprocessor.image(path.read_bytes()).tobytes()).hexdigest()
    except PreprocessingError as error:
        found[path.name] = str(error)
for title in json.loads((folder / "titles.json").read_text()):
    found[title] = [title_text(title), *(one.tolist() for one in preprocessor.title(title))]
print(json.dumps(found))
"""


@pytest.mark.fault(30)
def test_preprocessing_gives_the_same_bytes_in_training_and_in_serving(tmp_path: Path) -> None:
    if not SERVING_PYTHON.exists():
        pytest.skip("the serving environment is missing: make setup")
    bundle = tiny_bundle(0)
    shutil.copytree(bundle / "code", tmp_path / "code")
    shutil.copyfile(bundle / "towers" / "tokenizer.json", tmp_path / "tokenizer.json")
    _write_photos(tmp_path)
    titles = ["red mug", "빨간 가방", "👠" * 50, "a\0b", "", "ﬁne Ünïcode №5", "word " * 5000]
    titles += ["<b>M&amp;M&#39;s</b> 1,5L", "SÃ¶t vÃ¤ska", "<p></p>", *HOSTILE_TEXTS[:-1]]
    (tmp_path / "titles.json").write_text(json.dumps(titles))
    found = []
    for python in (sys.executable, str(SERVING_PYTHON)):
        command = [python, "-I", "-c", _SKEW, str(tmp_path)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found.append(json.loads(done.stdout))
    versions = [one.pop("numpy")[0] for one in found]
    assert versions == ["2", "1"]
    assert found[0] == found[1]
    assert len([value for value in found[0].values() if len(value) == 64]) >= 9


def _write_photos(folder: Path) -> None:
    side = np.arange(90 * 150 * 3, dtype=np.uint32).reshape(90, 150, 3)
    picture = Image.fromarray((side * side // 89 % 256).astype(np.uint8))
    rotated = Image.Exif()
    rotated[0x0112] = 6
    variants = {
        "jpeg": (picture, {"format": "JPEG", "quality": 85}),
        "rotated": (picture, {"format": "JPEG", "exif": rotated}),
        "large": (picture.resize((1500, 900)), {"format": "JPEG"}),
        "small": (picture.resize((9, 5)), {"format": "PNG"}),
        "cmyk": (picture.convert("CMYK"), {"format": "JPEG"}),
        "grey": (picture.convert("L"), {"format": "PNG"}),
        "alpha": (picture.convert("RGBA"), {"format": "PNG"}),
        "palette": (picture.convert("P"), {"format": "GIF"}),
        "webp": (picture, {"format": "WEBP", "quality": 70}),
        "deep": (Image.fromarray((side[:, :, 0] % 65536).astype(np.uint16)), {"format": "PNG"}),
    }
    for name, (image, options) in variants.items():
        buffer = io.BytesIO()
        image.save(buffer, **options)
        (folder / f"photo-{name}").write_bytes(buffer.getvalue())
    (folder / "photo-truncated").write_bytes((folder / "photo-large").read_bytes()[:500])
    assert len({hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("photo-*")}) == len(variants) + 1
