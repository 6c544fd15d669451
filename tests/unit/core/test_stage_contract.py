"""A stage publishes all or nothing, and notices when there is nothing to do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydantic import Field, ValidationError

from ecclip.core import (
    Counts,
    IntegrityError,
    StageConfig,
    digest_of,
    forget_once_published,
    read_manifest,
    stage,
    verify_folder,
)


class CopyConfig(StageConfig):
    upper: bool = Field(False, description="shout")


@stage
def copy(cfg: CopyConfig, source: Path, output: Path) -> Counts:
    text = source.read_text()
    (output / "copy.txt").write_text(text.upper() if cfg.upper else text)
    return Counts(read={"files": 1}, written={"files": 1})


@stage
def fail(cfg: CopyConfig, source: Path, output: Path) -> Counts:
    (output / "half.txt").write_text("half")
    raise RuntimeError(source.read_text())


@stage
def slow(cfg: CopyConfig, source: Path, output: Path) -> Counts:
    """Keeps what took long beside its output, then writes; one source cannot be published."""
    progress = output.parent / "slow.progress"
    progress.mkdir(exist_ok=True)
    forget_once_published(progress)
    (output / "result.txt").write_text(source.read_text())
    if source.read_text() == "unpublishable":
        # its name is taken: the function returns, and the publishing that follows fails
        (output / "manifest.json").mkdir()
    return Counts()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source.txt"
    path.write_text("listing")
    return path


def test_a_second_run_is_unchanged_and_has_the_same_digest(source: Path, tmp_path: Path) -> None:
    first = copy(CopyConfig(), source, tmp_path / "out")
    second = copy(CopyConfig(), source, tmp_path / "out")
    assert (first.outcome, second.outcome) == ("written", "unchanged")
    assert first.digest == second.digest == digest_of(tmp_path / "out")


@pytest.mark.parametrize("change", ["config", "input", "lost file"])
def test_a_change_of_config_input_or_output_runs_it_again(source: Path, tmp_path: Path, change: str) -> None:
    copy(CopyConfig(), source, tmp_path / "out")
    if change == "input":
        source.write_text("another")
    if change == "lost file":
        (tmp_path / "out" / "copy.txt").unlink()
    assert copy(CopyConfig(upper=change == "config"), source, tmp_path / "out").outcome == "written"
    verify_folder(tmp_path / "out")


def test_a_failing_stage_keeps_the_last_good_output(source: Path, tmp_path: Path) -> None:
    good = copy(CopyConfig(), source, tmp_path / "out")
    with pytest.raises(RuntimeError, match="listing"):
        fail(CopyConfig(), source, tmp_path / "out")
    assert digest_of(tmp_path / "out") == good.digest
    copy(CopyConfig(upper=True), source, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".out.lock", "out", "source.txt"]


def test_two_runs_at_once_write_once(source: Path, tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        reports = list(pool.map(lambda _: copy(CopyConfig(), source, tmp_path / "out"), range(8)))
    assert sorted(report.outcome for report in reports) == ["unchanged"] * 7 + ["written"]
    assert len({report.digest for report in reports}) == 1


def test_a_missing_input_is_named(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match=r"an input is missing; value: .*nowhere"):
        copy(CopyConfig(), tmp_path / "nowhere", tmp_path / "out")


def test_an_unknown_parameter_is_an_error() -> None:
    with pytest.raises(ValidationError, match="uper"):
        CopyConfig.model_validate({"uper": True})


def test_a_changed_byte_is_found_and_named(source: Path, tmp_path: Path) -> None:
    copy(CopyConfig(), source, tmp_path / "out")
    (tmp_path / "out" / "copy.txt").write_text("listinG")
    with pytest.raises(IntegrityError, match=r"not what its manifest says; value: .*copy\.txt"):
        verify_folder(tmp_path / "out")


@pytest.mark.fault(1)
def test_a_stage_killed_in_the_middle_ends_with_the_same_bytes(source: Path, tmp_path: Path) -> None:
    script = tmp_path / "room" / "slow.py"  # its own room: a stage's key covers the files beside its module
    script.parent.mkdir()
    script.write_text(
        textwrap.dedent(
            """
            import sys, time
            from pathlib import Path
            from ecclip.core import Counts, StageConfig, stage

            @stage
            def slow(cfg: StageConfig, source: Path, output: Path) -> Counts:
                for part in range(3):
                    (output / f"part-{part}.txt").write_text(source.read_text() * 1000)
                    print("wrote", part, flush=True)
                    time.sleep(float(sys.argv[2]))
                return Counts(written={"parts": 3})

            print(slow(StageConfig(), Path(sys.argv[1]), Path(sys.argv[3])).digest)
            """
        )
    )

    def command(pause: str, output: str) -> list[str]:
        return [sys.executable, str(script), str(source), pause, str(tmp_path / output)]

    undisturbed = subprocess.run(command("0", "calm"), check=True, capture_output=True, text=True).stdout.split()[-1]
    with subprocess.Popen(command("3600", "killed"), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "wrote 0\n"
        os.kill(process.pid, signal.SIGKILL)
    assert read_manifest(tmp_path / "killed") is None
    again = subprocess.run(command("0", "killed"), check=True, capture_output=True, text=True).stdout.split()[-1]
    assert again == undisturbed
    assert not list(tmp_path.glob(".*tmp*"))


def test_progress_outlives_a_run_that_could_not_publish(tmp_path: Path) -> None:
    source, output = tmp_path / "source.txt", tmp_path / "slow"
    source.write_text("unpublishable")
    with pytest.raises(OSError, match="manifest"):
        slow(cfg=CopyConfig(), source=source, output=output)
    assert (tmp_path / "slow.progress").is_dir()
    source.write_text("listing")
    slow(cfg=CopyConfig(), source=source, output=output)
    assert (output / "result.txt").read_text() == "listing"
    assert not (tmp_path / "slow.progress").exists()
