"""A wrong label is seen and corrected in a real browser, by keyboard; the next night has it right."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from browser import browser_program, open_tab
from chain import ONE_PART, chain_inputs, stage_function
from known_embeddings import write_embeddings
from review_pages import served_page
from waiting import wait_until

from ecclip.formats.corrections import Correction, read_corrections
from ecclip.formats.embeddings import load_embeddings
from ecclip.formats.embeddings import write_embeddings as write
from ecclip.pipeline import stage_model
from ecclip.review.desk import Desk
from ecclip.tasks import EvaluateConfig, evaluate

pytestmark = [pytest.mark.slow, pytest.mark.spark]

FIRST, NEXT = "2026-01-01", "2026-01-02"
CFG = EvaluateConfig(bootstrap_rounds=20)


def train_heads(snapshot: Path, night: Path, wrong: str, like: str) -> None:
    """Evaluate heads of a night whose towers see ``wrong`` as what ``like`` is."""
    embedded = write_embeddings(snapshot, night / "embed", noise=0.2)
    found = load_embeddings(embedded)
    at, other = (found.listing_ids.index(name) for name in (wrong, like))
    for vectors in (found.image, found.text):
        vectors[at] = vectors[other]
    write(found, embedded)
    evaluate(CFG, snapshot, embedded, night / "evaluate")


def labels(snapshot: Path) -> dict[str, dict[str, Any]]:
    rows = pq.read_table(snapshot / "listings").drop_columns("image").to_pylist()
    return {row["listing_id"]: row for row in rows}


@pytest.mark.skipif(browser_program() is None, reason="no chromium on this machine: apt-get install chromium")
def test_what_is_corrected_by_keyboard_is_the_next_nights_label(market_nights: Path, tmp_path: Path) -> None:
    work = tmp_path / "reviewed"
    first = shutil.copytree(market_nights / "1/publish", work / "snapshots" / FIRST)
    rows = labels(first)
    taught = [name for name, row in rows.items() if row["split"] == "train" and row["image_phash"] and name[0] == "p"]
    wrong, like = taught[0], next(name for name in taught if rows[name]["category"] != rows[taught[0]]["category"])
    train_heads(first, work / "nights" / FIRST, wrong, like)
    right = rows[like]["category"]

    program = browser_program()
    assert program is not None
    with served_page(work, tmp_path / "workspace") as page, open_tab(program, tmp_path) as tab:
        tab.open(f"{page.url}&order=label&decision=any", "document.querySelector('.listing img').naturalWidth > 0")
        assert tab.value("document.querySelector('.facts').textContent").startswith(wrong)
        assert tab.value("location.search").find("token") == -1
        answer = f"[...document.querySelectorAll('.options button')].find(b => b.value === {' > '.join(right)!r})"
        tab.press(tab.value(f"{answer}.dataset.key"))
        (said,) = wait_until(lambda: read_corrections(page.corrections), "the correction")
        tab.wait(f"!document.body.textContent.includes({wrong!r})")
        corrections = shutil.copytree(page.corrections, tmp_path / "corrections")
    assert isinstance(said, Correction)
    assert (said.listing_id, said.old, said.new) == (wrong, rows[wrong]["category"], right)

    # the next night's dump says what this one's said
    second = tmp_path / "snapshots" / NEXT
    inputs = chain_inputs("publish", market_nights / "1") | {"corrections": corrections, "previous": first}
    cfg = stage_model("publish").model_validate(ONE_PART["publish"])
    stage_function("publish")(cfg=cfg, **inputs, output=second)
    assert labels(second)[wrong]["category"] == right
    night = tmp_path / "nights" / NEXT
    train_heads(second, night, wrong, like)
    desk = Desk.of_night(NEXT, second, night / "embed", night / "evaluate", folder=tmp_path / "none", author="ann")
    question, place = desk.night.question("category"), desk.night.place(wrong)
    assert desk.standing(question, place).label == right
    assert question.labels[int(desk.night.answers(question).answer[place])] == right
    assert np.isfinite(desk.night.answers(question).score[place])
