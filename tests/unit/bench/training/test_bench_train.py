"""The training benchmarks run, and what they compare is comparable."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny_training import random_batch as small_batch
from tiny_training import tiny_towers

from ecclip.bench import read_result
from ecclip.bench.listings import random_batch
from ecclip.bench.train import embedding_bytes
from ecclip.bench.training.twin import Twin, clip_loss
from ecclip.model import build_towers
from ecclip.train import Batch, OptimizerConfig, accumulate_gradients

pytestmark = pytest.mark.heavy

ROOT = Path(__file__).parents[4]
PEERS = ROOT / "work" / "env" / "bench"
HEADLINE = {
    "ratio_open_clip_k1",
    "ratio_open_clip_k4",
    "accumulation_cost",
    "memory_ratio_4096_to_256",
    "loader_wait_share",
}
NO_DROPOUT = {"vision_dropout": 0.0, "drop_path": 0.0, "text_dropout": 0.0}


def _call(module: str, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    """Do what ``python -m`` does, in this process, which has imported the libraries."""
    monkeypatch.setattr(sys, "argv", [module, *arguments])
    importlib.import_module(module).main()


def _measure_on_a_gpu(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what it would leave set
    with pytest.raises(SystemExit, match=r"^0$"):
        _call("ecclip.bench.train_gpu", monkeypatch, *arguments)


def _peers() -> Path | None:
    """Return the folder of the peers, None where open_clip is in the environment itself; skip where it is nowhere."""
    if importlib.util.find_spec("open_clip"):
        return None
    if not (PEERS / "open_clip").is_dir():
        pytest.skip("open_clip is not installed: make bench-env")
    return PEERS


def test_the_training_benchmark_runs_against_the_twin_and_claims_nothing_about_open_clip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _call("ecclip.bench.train", monkeypatch, "--quick", "--twin", "--out", str(tmp_path / "train.json"))
    result = read_result(tmp_path / "train.json")
    assert set(result.headline) == {name for name in HEADLINE if "open_clip" not in name}
    twin = "twin of open_clip's step"
    assert {row.system for row in result.rows} == {"ecclip", twin, f"ecclip / {twin}"}
    assert result.machine["size"] == "quick"


def test_the_training_benchmark_runs_against_open_clip_with_the_headline_that_is_followed(tmp_path: Path) -> None:
    paths = [path for path in (ROOT, _peers()) if path]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))}
    command = [sys.executable, "-m", "ecclip.bench.train", "--quick", "--out", str(tmp_path / "train.json")]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result = read_result(tmp_path / "train.json")
    assert set(result.headline) == HEADLINE
    assert all(0 < value < 100 for value in result.headline.values())
    assert result.machine["open-clip-torch"]


def test_without_its_peer_the_training_benchmark_says_what_to_type(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if importlib.util.find_spec("open_clip"):
        pytest.skip("open_clip is in the environment itself")
    with pytest.raises(SystemExit):
        _call("ecclip.bench.train", monkeypatch, "--quick", "--out", str(tmp_path / "train.json"))
    assert "make bench-env" in capsys.readouterr().err
    assert not (tmp_path / "train.json").exists()


@pytest.mark.slow
def test_the_gpu_script_runs_on_a_cpu_at_a_small_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "train_gpu.json"
    _measure_on_a_gpu(monkeypatch, "--device", "cpu", "--tiny", "--out", str(out))
    result = read_result(out)
    assert set(result.headline) == {"pairs_per_second_plain", "pairs_per_second_accumulated", "ratio_open_clip"}
    assert any("share of the matrix ceiling" in row.what for row in result.rows)


@pytest.mark.slow
def test_the_gpu_script_leaves_the_figures_of_the_sections_that_it_had_time_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    out = tmp_path / "train_gpu.json"
    _measure_on_a_gpu(monkeypatch, "--device", "cpu", "--tiny", "--seconds", "1", "--out", str(out))
    assert "is left out" in caplog.text
    assert [row.what for row in read_result(out).rows if row.system == "ceiling"]


def test_measuring_imports_on_a_bare_gpu_image() -> None:
    absent = ["pydantic", "typer", "rich", "structlog", "psutil", "fsspec", "mlflow", "pandas", "sklearn"]
    code = (
        f"import gc, os, sys; absent = {absent}; gc.disable()\n"  # to look through what is imported takes seconds
        "for name in absent: sys.modules[name] = None\n"
        "import ecclip.bench.train, ecclip.bench.train_gpu, ecclip.bench.training.twin; os._exit(0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_twin_takes_open_clips_loss_and_our_gradients() -> None:
    batch = small_batch(12, groups=list(range(12)))
    ours, theirs = tiny_towers(**NO_DROPOUT).double(), tiny_towers(**NO_DROPOUT).double()
    loss = accumulate_gradients(ours.train(True), batch, micro_batch_size=12, labels="hard", seed=(0,))
    twin = clip_loss(*theirs.train(True)(batch.pixels, batch.ids, batch.mask), theirs.logit_scale.exp())
    twin.backward()
    assert float(twin.detach()) == pytest.approx(float(loss), rel=1e-12)
    for (name, left), right in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        assert left.grad is not None, name
        assert right.grad is not None, name
        torch.testing.assert_close(left.grad, right.grad, rtol=1e-9, atol=1e-12)


def test_the_twin_accumulates_as_open_clip_does_temperature_included() -> None:
    """Its temperature gradient is K times the whole batch's, which is open_clip's known fault, not ours."""
    batch = small_batch(12, groups=list(range(12)))
    scales = {}
    for micro_batches in (1, 4):
        twin = Twin(tiny_towers(**NO_DROPOUT).double(), OptimizerConfig(freeze=(), clip_norm=1e9))
        twin.use(batch)
        twin.step(micro_batches)
        gradient = twin.towers.logit_scale.grad
        assert gradient is not None
        scales[micro_batches] = float(gradient)
    assert scales[4] == pytest.approx(4 * scales[1], rel=1e-9)


def test_made_up_titles_are_of_many_lengths_and_pairs_of_many_groups() -> None:
    towers = build_towers(tiny_towers().cfg)
    batch: Batch = random_batch(32, towers.preprocessor())
    assert len(batch.mask.sum(dim=1).unique()) > 3
    assert len(batch.groups.unique()) == 32


def test_what_grows_with_the_batch_is_two_embeddings_and_two_gradients() -> None:
    assert embedding_bytes(4096, 256) == 4096 * 256 * 4 * 4
