"""The server's models run on each Python that the set-up takes for them, not only on the one that it found here."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from serving_bundles import tiny_bundle
from serving_server import live_server

from ecclip.client import ProductClient
from ecclip.formats.bundle import Bundle
from ecclip.serving.comparison import Tolerance, compare
from ecclip.serving.golden import read_golden

OTHER = os.environ.get("ECCLIP_TEST_SERVING_PYTHON")


@pytest.mark.skipif(OTHER is None, reason="ECCLIP_TEST_SERVING_PYTHON names no Python of another serving environment")
def test_another_serving_python_gives_the_golden_answers(tmp_path: Path) -> None:
    golden = read_golden(Bundle(tiny_bundle(0)).golden)
    with (
        live_server(tmp_path / "work", Path(str(OTHER))) as (_, deployment),
        ProductClient(deployment.address) as client,
    ):
        answers = client.ask([one.product for one in golden])
    assert len(answers) == len(golden) > 0
    assert compare(golden, answers, Tolerance(score=1e-3, embedding=1e-4)).reasons == []
