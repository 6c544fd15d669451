"""The model repository: version folders are written once, proven by digests, and survive a kill at any write."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from serving_bundles import sealed, tiny_bundle

from ecclip.client import IMAGE_BYTES, TEXT_BYTES
from ecclip.core import ConfigError, ContractError, IntegrityError, digest_of, settings, sha256_bytes, sha256_file
from ecclip.formats.bundle import Bundle
from ecclip.product_input import DEFINITION
from ecclip.serving import EngineConfig, Repository, Target, blessed_version, stage_bundle
from ecclip.serving.deploy import repository as module


def _tree(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != "lock")
    return {path.relative_to(folder).as_posix(): sha256_file(path) for path in files}


def _times(folder: Path) -> dict[Path, int]:
    """Return when each file was written last; the lock's holder signs it each time."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != "lock")
    return {path: path.stat().st_mtime_ns for path in files}


def test_staging_twice_changes_nothing(tmp_path: Path) -> None:
    repository = Repository(tmp_path)
    first = repository.stage(tiny_bundle(0), 7)
    before = _times(tmp_path)
    assert repository.stage(tiny_bundle(0), 7) == first
    assert _times(tmp_path) == before


def test_a_version_never_becomes_another_bundle(tmp_path: Path) -> None:
    repository = Repository(tmp_path)
    repository.stage(tiny_bundle(0), 1)
    other = tmp_path / "other"
    shutil.copytree(tiny_bundle(0), other)
    (other / "manifest.json").write_text((other / "manifest.json").read_text() + " ")
    before = _tree(tmp_path / "product")
    with pytest.raises(IntegrityError) as refused:
        repository.stage(other, 1)
    assert str(refused.value) == (
        f"the version is another bundle; value: version 1: {digest_of(tiny_bundle(0))[:16]}; "
        f"limit: {digest_of(other)[:16]}; next: stage the bundle under its own version"
    )
    assert _tree(tmp_path / "product") == before


def test_a_number_means_one_bundle_for_ever_also_of_one_that_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ECCLIP_WORKSPACE", str(tmp_path))
    settings.cache_clear()
    other = tmp_path / "other"
    shutil.copytree(tiny_bundle(0), other)
    (other / "manifest.json").write_text((other / "manifest.json").read_text() + " ")
    assert [stage_bundle(bundle).version for bundle in (tiny_bundle(0), other, tiny_bundle(0), other)] == [1, 2, 1, 2]
    assert blessed_version(digest_of(other)) is None
    repository = Repository(tmp_path / "work" / "model_repository")
    repository.write_blessing(2, {"passed": True, "staged": repository.verify(2).digest})
    assert (blessed_version(digest_of(other)), blessed_version(digest_of(tiny_bundle(0)))) == (2, None)
    repository.forget(2)
    assert repository.number_for("f" * 64) == 3
    with pytest.raises(IntegrityError, match="the version is another bundle"):
        repository.stage(tiny_bundle(0), 2)
    assert stage_bundle(other).version == 2, "its own, once more"


def test_numbers_of_an_older_ecclip_are_those_of_its_records_and_damaged_ones_are_named(tmp_path: Path) -> None:
    repository, kept = Repository(tmp_path), tmp_path / ".state" / "numbers.json"
    repository.stage(tiny_bundle(0), 7)
    kept.unlink()
    assert repository.numbers.all() == {7: digest_of(tiny_bundle(0))}
    assert (repository.number_for(digest_of(tiny_bundle(0))), repository.number_for("f" * 64)) == (7, 8)
    kept.write_text("{")
    with pytest.raises(IntegrityError) as refused:
        repository.number_for("f" * 64)
    assert refused.value.next_step.startswith(f"rm {kept}:")


def test_a_live_record_of_another_time_is_noticed(tmp_path: Path) -> None:
    repository, live = Repository(tmp_path), tmp_path / "live.json"
    repository.stage(tiny_bundle(0), 1)
    repository.commit(1)
    whole = live.read_bytes()
    live.write_text(live.read_text().replace(digest_of(tiny_bundle(0))[:16], "f" * 16))
    with pytest.raises(IntegrityError, match="another bundle here: it is of another time") as refused:
        repository.live()
    assert refused.value.next_step == f"cp {tmp_path}/.state/live.json {live}"
    shutil.copy(tmp_path / ".state" / "live.json", live)
    assert live.read_bytes() == whole
    assert repository.live() is not None


def test_a_bundle_that_is_not_what_its_manifest_says_is_refused(tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(tiny_bundle(0), bundle)
    (bundle / "onnx" / "heads.onnx").write_bytes(b"not a graph")
    with pytest.raises(IntegrityError, match=r"heads\.onnx"):
        Repository(tmp_path / "repository").stage(bundle, 1)
    assert not list((tmp_path / "repository").glob("*/1"))


@pytest.mark.fault(21)
@pytest.mark.parametrize("model", ["image_tower", "product"])
def test_changed_missing_and_extra_files_are_refused(tmp_path: Path, model: str) -> None:
    def spoil(change: Callable[[Path], Any]) -> Repository:
        shutil.rmtree(tmp_path / "r", ignore_errors=True)
        repository = Repository(tmp_path / "r")
        repository.stage(tiny_bundle(0), 1)
        change(tmp_path / "r" / model / "1" / "model.py")
        return repository

    def truncate(path: Path) -> None:
        path.write_bytes(path.read_bytes()[:-1])

    again = "next: stage the bundle under a new version; this one stays as it is"
    for change, text, name in (
        (truncate, "a file of the version is not what was staged", "model.py"),
        (Path.unlink, "a file of the version is missing", "model.py"),
        (
            lambda path: (path.parent / ".model.py.swp").touch(),
            "a file does not belong to the version",
            ".model.py.swp",
        ),
    ):
        with pytest.raises(IntegrityError) as refused:
            spoil(change).verify(1)
        assert str(refused.value) == f"{text}; value: {model}/1/{name}; {again}"


def test_caches_of_the_server_are_no_files_of_a_version(tmp_path: Path) -> None:
    repository = Repository(tmp_path)
    staged = repository.stage(tiny_bundle(0), 1)
    cache = tmp_path / "product" / "1" / "__pycache__"
    cache.mkdir()
    (cache / "model.cpython-311.pyc").touch()
    assert repository.verify(1) == staged
    (cache / "model.py").touch()
    with pytest.raises(IntegrityError, match="does not belong"):
        repository.verify(1)


def test_what_is_not_staged_is_not_verified_and_what_cannot_be_is_not_staged(tmp_path: Path) -> None:
    no_number = "a version is a number from 1 on; value: 0; next: take the number that is free"
    with pytest.raises(ConfigError) as refused:
        Repository(tmp_path).stage(tiny_bundle(0), 0)
    assert str(refused.value) == no_number
    half = Target("onnxruntime", engine=EngineConfig(precision="float16"))
    with pytest.raises(ContractError, match=r"no graphs of the precision.*value: float16; limit: float32"):
        Repository(tmp_path, half).stage(tiny_bundle(0), 1)
    assert Repository(tmp_path).staged(1) is None
    with pytest.raises(IntegrityError) as missing:
        Repository(tmp_path).verify(1)
    assert str(missing.value) == "the version is not in the model repository; value: 1; next: stage it first"


def test_a_version_holds_what_the_bundle_and_the_templates_hold(tmp_path: Path) -> None:
    bundle, repository = Bundle(tiny_bundle(0)), Repository(tmp_path)
    staged, digest = repository.stage(bundle.folder, 5), digest_of(bundle.folder)
    templates = Path(__file__).parents[4] / "triton_models"
    expected: dict[str, bytes] = {}
    for name in ("image_tower", "text_tower"):
        expected[f"{name}/5/model.py"] = (templates / "graph" / "model.py").read_bytes()
        expected[f"{name}/5/model.onnx"] = bundle.graph(name).read_bytes()
        expected[f"{name}/5/onnx_graph.py"] = (bundle.code / "ecclip/serving/answering/onnx_graph.py").read_bytes()
        expected[f"{name}/5/known.npz"] = bundle.known_answer(name).read_bytes()
    described = bundle.description()
    sizes = {name: described[name] for name in ("embedding_dim", "image_size", "max_tokens")}
    models = {name: name for name in ("image_tower", "text_tower")}
    widths = {f"{name}_features": np.load(bundle.known_answer(name))["features"].shape[1] for name in models}
    for name in ("product", "candidate"):
        for file in ("model.py", "entry_metrics.py"):
            expected[f"{name}/5/{file}"] = (templates / "product" / file).read_bytes()
        expected[f"{name}/5/heads.onnx"] = bundle.graph("heads").read_bytes()
        expected[f"{name}/5/known_heads.npz"] = bundle.known_answer("heads").read_bytes()
        expected[f"{name}/5/tokenizer.json"] = bundle.tokenizer.read_bytes()
        expected[f"{name}/5/known.json"] = bundle.known_question.read_bytes()
        expected |= {
            f"{name}/5/{path.relative_to(bundle.folder)}": path.read_bytes()
            for path in bundle.code.rglob("*")
            if path.is_file()
        }
        entry = (tmp_path / name / "5" / "entry.json").read_bytes()
        expected[f"{name}/5/entry.json"] = entry
        assert json.loads(entry) == {
            **sizes, "top_k": described["top_k"], "heads": bundle.described_heads(), "lineage": digest[:16],
            "reading": described["reading"],
            "image_bytes": IMAGE_BYTES, "text_bytes": TEXT_BYTES,
            "product_input": json.loads((bundle.folder / DEFINITION).read_text()), "models": models,
        }  # fmt: skip
    expected[".state/golden-5.parquet"] = bundle.golden.read_bytes()
    assert staged.files == {name: sha256_bytes(data) for name, data in expected.items()}
    assert _tree(tmp_path).keys() == {*expected, ".state/version-5.json", ".state/numbers.json"}
    assert {name: (tmp_path / name).read_bytes() for name in expected} == expected
    assert staged.model_dump(exclude={"files"}) == {
        "version": 5, "bundle": digest, "lineage": digest[:16], "shapes": sizes | widths,
        "tolerance": described["tolerance"], "platform": "embedded", "precision": "float32", "gpu": "",
        "models": models, "accelerators": {},
    }  # fmt: skip
    assert repository.staged(5) == repository.verify(5) == staged


def test_what_a_killed_writer_left_is_removed_before_the_next_one_works(tmp_path: Path) -> None:
    repository = Repository(tmp_path)
    leftovers = [".live.json.tmp-1", ".state/.version-1.json.tmp-1", "product/.1.tmp-7", "heads/.1.old-7"]
    for name in leftovers:
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "product" / "1.tmp-7").mkdir()
    with repository.lock():
        assert [name for name in leftovers if (tmp_path / name).exists()] == []
    assert (tmp_path / "product" / "1.tmp-7").is_dir()


def test_code_of_another_ecclip_is_refused(tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(tiny_bundle(0), bundle)
    Bundle(bundle).libraries.unlink()
    sealed(bundle)
    with pytest.raises(IntegrityError) as refused:
        Repository(tmp_path / "repository").stage(bundle, 1)
    said = f"the bundle's code is not that of this version of ecclip; value: {bundle}; next: run export of its night"
    assert str(refused.value) == said


@pytest.mark.fault(18)
def test_staging_killed_at_any_write_and_run_again_gives_the_same_files(tmp_path: Path) -> None:
    bundle = tiny_bundle(0)
    Repository(tmp_path / "undisturbed").stage(bundle, 3)
    expected = _tree(tmp_path / "undisturbed")
    kills = 0
    for step in range(1, 40):
        folder = tmp_path / f"killed-{step}"
        pid = os.fork()
        if pid == 0:
            _die_at(step)
            Repository(folder).stage(bundle, 3)
            os._exit(0)
        if os.WIFSIGNALED(os.waitpid(pid, 0)[1]):
            kills += 1
            assert Repository(folder).staged(3) is None or _tree(folder) == expected
            Repository(folder).stage(bundle, 3)
            assert _tree(folder) == expected
            shutil.rmtree(folder)
        else:
            break
    assert kills >= 12


def _die_at(step: int) -> None:
    """Kill this process before its ``step``-th write, replacement or removal."""
    left = [step]

    def counted(function: Any) -> Any:
        def run(*args: Any, **kwargs: Any) -> Any:
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*args, **kwargs)

        return run

    for name in ("install_folder", "write_atomic", "replace_folder"):
        setattr(module, name, counted(getattr(module, name)))
    Path.replace = counted(Path.replace)  # type: ignore[method-assign]
    Path.rename = counted(Path.rename)  # type: ignore[method-assign]


def test_commits_count_up_and_name_the_version_before(tmp_path: Path) -> None:
    repository = Repository(tmp_path)
    for version in (1, 2):
        repository.stage(tiny_bundle(0), version)
    assert repository.live() is None
    assert repository.commit(1).sequence == 1
    assert repository.commit(1).sequence == 1
    second = repository.commit(2)
    assert (second.version, second.previous, second.sequence) == (2, 1, 2)
    assert repository.live() == second
    assert (repository.commit(1).version, repository.live().previous) == (1, 2)  # type: ignore[union-attr]
    assert json.loads((tmp_path / ".state" / "live.json").read_text()) == repository.live().model_dump()  # type: ignore[union-attr]
    assert (second.lineage, repository.commit(2).sequence) == (digest_of(tiny_bundle(0))[:16], 4)


def test_a_live_record_that_cannot_be_read_says_where_its_copy_lies(tmp_path: Path) -> None:
    repository = Repository(tmp_path)
    repository.stage(tiny_bundle(0), 1)
    repository.commit(1)
    (tmp_path / "live.json").write_text("{")
    with pytest.raises(IntegrityError) as refused:
        repository.live()
    kept = f"cp {tmp_path}/.state/live.json {tmp_path}/live.json"
    assert str(refused.value) == f"live.json cannot be read; value: {tmp_path}/live.json; next: {kept}"


@pytest.mark.fault(51)
@pytest.mark.ops
@pytest.mark.parametrize("what", ["from a backup", "gone"])
def test_a_live_record_from_a_backup_is_noticed_and_the_copy_mends_it(tmp_path: Path, what: str) -> None:
    repository, path = Repository(tmp_path), tmp_path / "live.json"
    for version in (1, 2):
        repository.stage(tiny_bundle(0), version)
    repository.commit(1)
    backup = path.read_bytes()
    last = repository.commit(2)
    path.unlink() if what == "gone" else path.write_bytes(backup)
    with pytest.raises(
        IntegrityError, match=r"live\.json is (gone|older than the last deployment).*version 2"
    ) as refused:
        repository.live()
    shutil.copy(*refused.value.next_step.split(";")[0].removeprefix("cp ").split())
    assert repository.live() == last


def test_blessings_and_the_control_key_are_kept_for_the_next_process(tmp_path: Path) -> None:
    assert Repository(tmp_path).blessing(3) is None
    assert Repository(tmp_path).control_key() is None
    Repository(tmp_path).write_blessing(3, {"passed": True, "reasons": ["é"]})
    assert Repository(tmp_path).blessing(3) == {"passed": True, "reasons": ["é"]}
    assert Repository(tmp_path).blessing(4) is None
    key = Repository(tmp_path).new_control_key()
    assert Repository(tmp_path).control_key() == key
    assert len(bytes.fromhex(key)) == 32
    assert stat.S_IMODE((tmp_path / ".state" / "control.key").stat().st_mode) == 0o600
    assert Repository(tmp_path).new_control_key() != key


def test_the_shared_memory_of_a_workspace_has_a_name_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    names = [Repository(folder / "models").shared_memory for folder in (tmp_path, tmp_path / "link", tmp_path / "a")]
    digest = sha256_bytes(str(tmp_path.resolve()).encode())[:8]
    assert names[0] == names[1] == f"triton_python_backend_shm_region_{digest}_"
    assert names[2] != names[0]
