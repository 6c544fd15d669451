"""The releases that ecclip is built for are named in infra/release.yaml, and nothing names another one."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from ecclip.serving.engine.config import TENSORRT_VERSION

ROOT = Path(__file__).parents[2]
TABLE: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "infra" / "release.yaml").read_text())
NAMES = {  # how a text names a release: group 1 is the version, of which a text may name the beginning
    r"tritonserver:(\d\d\.\d\d)\b": ("triton", "image"),
    r"\b(?:Triton|tritonserver) (2\.\d+(?:\.\d+)?)\b": ("embedded_triton", "version"),
    r"\bTriton (\d\d\.\d\d)\b": ("triton", "image"),
    r"\bTensorRT (\d+(?:\.\d+)*)\b": ("tensorrt", "version"),
    r"\btensorrt[\w-]*==(\d+(?:\.\d+)*)": ("tensorrt", "version"),
    r"\bTensorRT-RTX (\d+(?:\.\d+)*)\b": ("tensorrt_rtx", "version"),
    r"\btensorrt-rtx[\w-]*==(\d+(?:\.\d+)*)": ("tensorrt_rtx", "version"),
    r"\bnvidia-pytriton==(\d+(?:\.\d+)*)": ("embedded_triton", "package_version"),
}
OF_NOTHING = {"CHANGELOG.md", "infra/release.yaml", "tests/contract/test_release_table.py"}  # history, and the table


def _texts() -> dict[str, str]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    names = [name for name in listed.split("\0") if name and name not in OF_NOTHING and not name.startswith("results/")]
    return {name: (ROOT / name).read_text(errors="replace") for name in names if (ROOT / name).is_file()}


def _named(text: str) -> list[tuple[str, str, str]]:
    """Return every release that a text names: the version, and the row and column of the table that it belongs to."""
    found = [(match[1], *place) for pattern, place in NAMES.items() for match in re.finditer(pattern, text)]
    return [(version, row, column) for version, row, column in found if not _is_rtx(row, version, text)]


def _is_rtx(row: str, version: str, text: str) -> bool:
    return row == "tensorrt" and re.search(rf"tensorrt-rtx[\w-]*=={re.escape(version)}", text) is not None


def _fits(version: str, row: str, column: str) -> bool:
    named = re.sub(r"^.*:|-py3$", "", str(TABLE[row][column]))
    return named == version or named.startswith(f"{version}.")


def test_every_release_that_a_file_names_is_that_of_the_table() -> None:
    others = {name: [one for one in _named(text) if not _fits(*one)] for name, text in _texts().items()}
    assert {name: found for name, found in others.items() if found} == {}


@pytest.mark.parametrize(
    "text",
    ["FROM x/tritonserver:25.10-py3", "Triton 2.50 does", "needs TensorRT 10", "tensorrt-cu13-bindings==11.1.0.107"],
)
def test_another_release_would_be_found(text: str) -> None:
    assert [one for one in _named(text) if not _fits(*one)]


def test_an_engine_must_be_built_by_the_tensorrt_of_the_table() -> None:
    assert TABLE["tensorrt"]["version"] == TENSORRT_VERSION


@pytest.mark.parametrize("row", ["tensorrt", "tensorrt_rtx"])
def test_the_locks_hold_the_packages_of_the_table(row: str) -> None:
    lock = {"tensorrt": "tensorrt", "tensorrt_rtx": "rtx"}[row]
    assert f"{TABLE[row]['package']}=={TABLE[row]['version']} " in (ROOT / "requirements" / f"{lock}.txt").read_text()


@pytest.mark.parametrize("image", ["triton", "engine"])
def test_what_serves_and_what_builds_start_from_the_image_of_the_table(image: str) -> None:
    text = (ROOT / "infra" / "images" / f"{image}.Dockerfile").read_text()
    assert re.findall(r"^FROM (\S+)", text, re.MULTILINE) == [TABLE["triton"]["image"]]
