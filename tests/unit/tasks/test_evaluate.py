"""The stage evaluate on a learnable snapshot, on tiny ones and on ones that teach nothing."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pyarrow.parquet as pq
import pytest
from hostile_texts import STEERING
from scipy.special import softmax
from snapshots import CATEGORIES

from ecclip.client import Answer
from ecclip.core import ContractError, digest_of, verify_folder
from ecclip.formats.embeddings import load_embeddings, read_origin, write_origin
from ecclip.formats.sampling import sets_thresholds
from ecclip.tasks import EvaluateConfig, Heads, evaluate, load_heads
from ecclip.tasks.decision import Decider
from ecclip.tasks.kinds import TASKS

# a promise that 80 validation listings of a few products each can prove
FEW_ROUNDS = EvaluateConfig(bootstrap_rounds=40, auto={"precision": 0.8})
MakeSnapshot = Callable[..., Path]


@pytest.fixture(scope="module")
def evaluated(snapshot: Path, embedded: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("evaluated") / "evaluate"
    evaluate(FEW_ROUNDS, snapshot, embedded, output)
    return output


def answered(heads: Heads, logits: np.ndarray, modality: str) -> Answer:
    return Answer.from_outputs(Decider(heads.describe(), TASKS).answer(logits, modality))


def report_of(output: Path) -> dict[str, Any]:
    report: dict[str, Any] = json.loads((output / "report.json").read_text())
    return report


def test_every_task_is_measured_from_every_modality(evaluated: Path) -> None:
    report = report_of(evaluated)
    assert report["schema"] == "ecclip.report/1"
    # these embeddings came without prompts of the labels, and all values of the attributes are listed
    missing = {name for name in report["missing"] if not name.endswith("/auto_precision")}
    assert missing == {"zero_shot", "open_values"}
    for modality in ("image", "text", "both"):
        metrics = report["metrics"]
        assert metrics[f"category/{modality}/top1"] > 0.9
        assert metrics[f"category/{modality}/top5"] >= metrics[f"category/{modality}/top1"]
        assert metrics[f"category/{modality}/level1"] >= metrics[f"category/{modality}/level3"]
        assert metrics[f"attributes/{modality}/present_accuracy"] > 0.8
        assert metrics[f"category/{modality}/auto_coverage"] > 0.5
        assert (
            metrics[f"category/{modality}/auto_precision_at_most"]
            >= metrics[f"category/{modality}/auto_promise"]
            == 0.8
        )
        assert metrics[f"age_restricted/{modality}/average_precision"] > 0.9
        assert metrics[f"matching/{modality}/recall@1"] > 0.7
        assert metrics[f"clustering/{modality}/precision"] > 0.8
        low, high = report["intervals"][f"matching/{modality}/recall@1"]
        assert low <= metrics[f"matching/{modality}/recall@1"] <= high


def test_metric_names_are_task_modality_metric(evaluated: Path) -> None:
    for name in report_of(evaluated)["metrics"]:
        assert re.fullmatch(r"[^/]+/(image|text|both)/[a-z0-9_@]+", name)


def test_only_the_train_split_teaches(snapshot: Path, embedded: Path, evaluated: Path, tmp_path: Path) -> None:
    """Other labels on test listings must change the report and not the heads."""
    other = tmp_path / "snapshot"
    shutil.copytree(snapshot, other)
    (other / "manifest.json").unlink()
    path = other / "listings" / "part-00000.parquet"
    table = pq.read_table(path)
    rows = table.to_pylist()
    for row in rows:
        if row["split"] == "test":
            row["category"], row["age_restricted"] = ["food", "drinks", "wine"], True
    pq.write_table(table.from_pylist(rows, schema=table.schema), path)
    shutil.copytree(embedded, tmp_path / "embedded")
    write_origin(replace(read_origin(embedded), snapshot=digest_of(other)), tmp_path / "embedded")
    evaluate(FEW_ROUNDS, other, tmp_path / "embedded", tmp_path / "evaluate")
    for name in ("heads.json", "heads.safetensors"):
        assert (tmp_path / "evaluate/heads" / name).read_bytes() == (evaluated / "heads" / name).read_bytes()
    changed = report_of(tmp_path / "evaluate")["metrics"]["category/both/top1"]
    assert changed < report_of(evaluated)["metrics"]["category/both/top1"] - 0.5


def test_scores_and_thresholds_come_from_validation(
    make_snapshot: MakeSnapshot, evaluated: Path, snapshot: Path, embedded: Path, tmp_path: Path
) -> None:
    """Wrong labels on validation alone must leave no score sure and nothing decided without a person."""
    wrong = {"/".join(path): CATEGORIES[place - 1][0] for place, (path, _) in enumerate(CATEGORIES)}

    def relabel(row: dict[str, Any]) -> None:
        if row["split"] == "validation":
            row["category"] = wrong["/".join(row["category"])]

    folder = make_snapshot(600, relabel=relabel)
    evaluate(FEW_ROUNDS, folder, tmp_path / "embedded", tmp_path / "evaluate")
    sure, thresholds = [], []
    for heads in (load_heads(evaluated / "heads"), load_heads(tmp_path / "evaluate" / "heads")):
        part = next(head for head in heads.parts if head.name == "category")
        logits = heads.logits(None, load_embeddings(embedded).text, "text")[:, part.start : part.stop]
        sure.append(float(softmax(logits, axis=1).max(axis=1).mean()))
        thresholds.append(heads.thresholds["category"]["text"])
    assert sure[0] > 0.8
    assert sure[1] < 0.5
    assert thresholds[0] < 1.0
    assert thresholds[1] == 2.0


def test_thresholds_rest_on_listings_that_nothing_was_fitted_to(
    make_snapshot: MakeSnapshot, evaluated: Path, tmp_path: Path
) -> None:
    """Wrong labels on the groups that prove thresholds change neither weights nor calibration, and nothing is auto."""
    wrong = {"/".join(path): CATEGORIES[place - 1][0] for place, (path, _) in enumerate(CATEGORIES)}
    told: list[bool] = []

    def relabel(row: dict[str, Any]) -> None:
        if row["split"] == "validation":
            told.append(sets_thresholds(row["group_id"]))
            if told[-1]:
                row["category"] = wrong["/".join(row["category"])]

    folder = make_snapshot(600, relabel=relabel)
    evaluate(FEW_ROUNDS, folder, tmp_path / "embedded", tmp_path / "evaluate")
    assert 0.5 < np.mean(told) < 0.8
    tensors = "heads/heads.safetensors"
    assert (tmp_path / "evaluate" / tensors).read_bytes() == (evaluated / tensors).read_bytes()
    assert set(load_heads(tmp_path / "evaluate" / "heads").thresholds["category"].values()) == {2.0}


def test_the_reported_accuracy_is_that_of_the_saved_heads(snapshot: Path, embedded: Path, evaluated: Path) -> None:
    """Load the heads as the server does and count right answers, and the share decided without review."""
    heads, embeddings = load_heads(evaluated / "heads"), load_embeddings(embedded)
    rows = pq.read_table(snapshot / "listings", columns=["listing_id", "category", "split"]).sort_by("listing_id")
    right, auto = [], []
    logits = heads.logits(embeddings.image, embeddings.text, "text")
    for row, logit in zip(rows.to_pylist(), logits, strict=True):
        if row["split"] == "test":
            answer = answered(heads, logit, "text")
            right.append(answer.categories[0] == tuple(row["category"]))
            auto.append(answer.decisions["category"] == "auto")
    metrics = report_of(evaluated)["metrics"]
    assert np.mean(right) == pytest.approx(metrics["category/text/top1"], abs=1e-6)
    assert np.mean(auto) == pytest.approx(metrics["category/text/auto_coverage"], abs=1e-6)


def test_twice_gives_equal_bytes_in_another_process_with_other_threads_and_without_spark_airflow_and_torch(
    snapshot: Path, embedded: Path, evaluated: Path, tmp_path: Path
) -> None:
    code = (
        "import sys; from pathlib import Path; from ecclip.tasks import EvaluateConfig, evaluate\n"
        "assert not {'pyspark', 'airflow', 'torch'} & set(sys.modules)\n"
        "evaluate(EvaluateConfig(bootstrap_rounds=40, auto={'precision': 0.8}), *map(Path, sys.argv[1:]))"
    )
    arguments = [str(snapshot), str(embedded), str(tmp_path / "evaluate")]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "TZ": "Asia/Seoul"}
    subprocess.run([sys.executable, "-c", code, *arguments], check=True, capture_output=True, env=environment)
    one, other = verify_folder(evaluated), verify_folder(tmp_path / "evaluate")
    assert one.files == other.files


def test_the_page_is_whole_by_itself_and_shows_photos(evaluated: Path) -> None:
    page = (evaluated / "report.html").read_text()
    assert page.count("data:image/jpeg;base64,") > 10
    assert page.count("data:image/svg+xml;base64,") >= 5, "reliability of two tasks, parts of three"
    assert not re.search(r"""(src|href)=["'](?!data:)""", page)
    assert not re.search("""<img(?![^>]* alt="[^"]+")""", page), "a picture says in words what it shows"
    assert 'name="viewport"' in page
    assert "@media (max-width" in page
    assert "http" not in page
    assert str(Path.home()) not in page


def test_the_page_shows_where_answers_are_wrong_and_uncertain(snapshot: Path, embedded: Path, evaluated: Path) -> None:
    """Its parts are those of the snapshot's own columns; its charts are read again as pictures."""
    page, slices = (evaluated / "report.html").read_text(), report_of(evaluated)["slices"]
    for heading in ("Uncertain: the smallest margin", "Right, drawn at random"):
        assert page.count(heading) == 3, "of each task"
    rows = [row for row in pq.read_table(snapshot / "listings").to_pylist() if row["split"] == "test"]
    both = [row for row in rows if row["image"]]
    found = slices["category/both/top1"]
    assert found["root: home"]["rows"] == sum(row["category"][0] == "home" for row in both)
    assert found["title script: Latin"]["rows"] == len(both)
    sellers = {name: part["rows"] for name, part in found.items() if name.startswith("seller: s")}
    assert sellers == {f"seller: {name}": count for name, count in Counter(
        row["seller_id"] for row in both).items() if f"seller: {name}" in sellers}  # fmt: skip
    thirds = {name: found[name]["rows"] for name in ("photo: blurred third", "photo: sharpest third")}
    assert all(abs(rows - len(both) / 3) < 2 for rows in thirds.values()), thirds
    assert {"updated: oldest third", "updated: newest third"} <= {*found}
    assert "photo: none" in slices["category/text/top1"] or sum(not row["image"] for row in rows) < 10
    assert {"attributes/both/accuracy", "age_restricted/both/accuracy"} <= {*slices}
    charts = [base64.b64decode(data) for data in re.findall(r"data:image/svg\+xml;base64,([^\"]+)", page)]
    assert all(ET.fromstring(chart).tag.endswith("svg") for chart in charts)


def test_markup_in_a_title_is_only_text(make_snapshot: MakeSnapshot, tmp_path: Path) -> None:
    def change(row: dict[str, Any]) -> None:
        row["title"] = "<script>alert(1)</script> [free gift] \x1b]0;owned\x07 \u202e" + row["title"]
        row["category"] = [f"{level}<img src=x onerror=alert(2)>" for level in row["category"]]
        row["attributes"] = [(f"<b>{name}", f"{value}\u202e<i>") for name, value in row["attributes"] or ()]

    folder = make_snapshot(400, change)
    evaluate(FEW_ROUNDS, folder, tmp_path / "embedded", tmp_path / "evaluate")
    page = (tmp_path / "evaluate/report.html").read_text()
    assert "&lt;script&gt;alert" in page
    assert not any(mark in page for mark in ("<img src=x", "<b>color", "<i>,"))
    assert "<script" not in page
    assert "Wrong, the surest first" in page
    assert "[free gift]" in page
    assert STEERING.search(page) is None
    assert r"\x1b]0;owned\x07" in page


def test_no_age_labels_mean_no_answer_and_an_honest_gap(make_snapshot: MakeSnapshot, tmp_path: Path) -> None:
    folder = make_snapshot(300, lambda row: row.update(age_restricted=None))
    evaluate(FEW_ROUNDS, folder, tmp_path / "embedded", tmp_path / "evaluate")
    report, heads = report_of(tmp_path / "evaluate"), load_heads(tmp_path / "evaluate/heads")
    assert report["missing"]["age_restricted/both"] == "no labels"
    assert not any(name.startswith("age_restricted") for name in report["metrics"])
    embeddings = load_embeddings(tmp_path / "embedded")
    answer = answered(heads, heads.logits(None, embeddings.text, "text")[0], "text")
    assert (answer.age_restricted, answer.decisions["age_restricted"]) == (None, "unknown")
    assert answer.decisions["category"] in ("auto", "review")


@pytest.mark.parametrize("flag", [False, True])
def test_a_flag_of_which_one_side_was_seen_is_unknown(make_snapshot: MakeSnapshot, tmp_path: Path, flag: bool) -> None:
    folder = make_snapshot(200, lambda row: row.update(age_restricted=flag))
    evaluate(FEW_ROUNDS, folder, tmp_path / "embedded", tmp_path / "evaluate")
    heads = load_heads(tmp_path / "evaluate/heads")
    for modality in ("image", "text", "both"):
        answer = answered(heads, heads.bias[0], modality)
        assert (answer.age_restricted, answer.decisions["age_restricted"]) == (None, "unknown")


def test_a_snapshot_without_any_label_still_gives_heads_and_a_page(make_snapshot: MakeSnapshot, tmp_path: Path) -> None:
    def change(row: dict[str, Any]) -> None:
        row.update(age_restricted=None, category=None, attributes=None, group_id=row["listing_id"])

    folder = make_snapshot(150, change)
    evaluate(FEW_ROUNDS, folder, tmp_path / "embedded", tmp_path / "evaluate")
    report, heads = report_of(tmp_path / "evaluate"), load_heads(tmp_path / "evaluate/heads")
    assert [head.name for head in heads.parts] == ["age_restricted"]
    assert report["missing"]["category"] == "no category path has enough train listings"
    assert {"attributes/both", "matching/both", "clustering/both"} <= set(report["missing"])
    answer = answered(heads, heads.bias[1], "text")
    assert answer.decisions == dict.fromkeys(("category", "attributes", "age_restricted"), "unknown")
    assert (answer.categories, answer.category_scores, answer.attributes, answer.age_restricted) == ([], [], {}, None)
    assert "Nothing could be measured" in (tmp_path / "evaluate/report.html").read_text()


def test_a_snapshot_without_photos_is_judged_by_titles(make_snapshot: MakeSnapshot, tmp_path: Path) -> None:
    def change(row: dict[str, Any]) -> None:
        row.update(image=None, image_sha256=None, image_phash=None)

    folder = make_snapshot(200, change)
    evaluate(FEW_ROUNDS, folder, tmp_path / "embedded", tmp_path / "evaluate")
    report = report_of(tmp_path / "evaluate")
    assert report["metrics"]["category/text/top1"] > 0.8
    assert {"category/image", "category/both", "matching/image", "clustering/both"} <= set(report["missing"])
    thresholds = load_heads(tmp_path / "evaluate/heads").thresholds["category"]
    assert thresholds["image"] == thresholds["both"] == 2.0
    heads = load_heads(tmp_path / "evaluate/heads")
    by_photo, by_title = (answered(heads, heads.bias[0], name) for name in ("both", "text"))
    assert (by_photo.categories, by_photo.decisions["category"]) == ([], "unknown")
    assert by_photo.attributes["color"] == {"value": None, "score": None}
    assert len(by_title.categories) == 5
    assert "unknown" not in by_title.decisions.values()


@pytest.mark.parametrize("listings", [1, 2, 12, 60])
def test_small_snapshots_leave_gaps_with_reasons(make_snapshot: MakeSnapshot, tmp_path: Path, listings: int) -> None:
    evaluate(FEW_ROUNDS, make_snapshot(listings), tmp_path / "embedded", tmp_path / "evaluate")
    report = report_of(tmp_path / "evaluate")
    assert all(reason for reason in report["missing"].values())
    assert all(np.isfinite(value) for value in report["metrics"].values())
    assert len(report["metrics"]) + len(report["missing"]) > 10


def test_one_category_for_all_is_a_gap_and_not_a_perfect_score(make_snapshot: MakeSnapshot, tmp_path: Path) -> None:
    folder = make_snapshot(200, lambda row: row.update(category=["all"]))
    evaluate(FEW_ROUNDS, folder, tmp_path / "embedded", tmp_path / "evaluate")
    report = report_of(tmp_path / "evaluate")
    assert report["missing"]["category/both"] == "all train listings have the same label"
    assert not any(name.startswith("category/") for name in report["metrics"])


def test_paths_that_train_never_saw_count_as_wrong(make_snapshot: MakeSnapshot, tmp_path: Path) -> None:
    def change(row: dict[str, Any]) -> None:
        if row["split"] == "test":
            row["category"] = [*row["category"], "new"]

    folder = make_snapshot(300, relabel=change)
    evaluate(FEW_ROUNDS, folder, tmp_path / "embedded", tmp_path / "evaluate")
    metrics = report_of(tmp_path / "evaluate")["metrics"]
    assert metrics["category/text/top1"] == 0.0
    assert metrics["category/text/level3"] > 0.8
    assert metrics["category/text/level4"] == 0.0


def test_embeddings_of_another_snapshot_are_refused(
    snapshot: Path, make_snapshot: MakeSnapshot, tmp_path: Path
) -> None:
    make_snapshot(60)
    with pytest.raises(ContractError, match="not those of the snapshot"):
        evaluate(FEW_ROUNDS, snapshot, tmp_path / "embedded", tmp_path / "evaluate")
    assert not (tmp_path / "evaluate").exists()
