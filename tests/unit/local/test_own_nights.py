"""A shop's own nights are found where they lie and become the source of its own workspace."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml
from dumps import market, write_dump
from rich.console import Console

from ecclip.core import ConfigError, settings
from ecclip.local import declare_nights, enter_shop, sample_nights
from ecclip.pipeline import run_stage

NIGHTS = ["2026-11-01", "2026-11-02", "2026-11-04"]
PARAMS = "# a word\nsample: {listings: 9}\nsource: {} # of the sample\nland:\n  fetch: {threads: 1}\n"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "home"
    folder.mkdir()
    (folder / "params.yaml").write_text(PARAMS)
    monkeypatch.setenv("ECCLIP_WORKSPACE", str(folder))
    monkeypatch.setenv("ECCLIP_CLOCK", "2026-12-24T01:00:00+00:00")
    settings.cache_clear()
    yield folder
    monkeypatch.undo()
    settings.cache_clear()


def own(dump: Path | str, mapping: str | None = None, nights: int = 3) -> list[str]:
    return declare_nights(Console(file=io.StringIO()), enter_shop(str(dump), mapping), nights)


def source() -> dict[str, Any]:
    return dict(yaml.safe_load((settings().workspace / "params.yaml").read_text())["source"])


def export(folder: Path, name: str = "{}") -> Path:
    rows, photos = market(2)
    for night in NIGHTS:
        write_dump(folder / name.format(night), rows, photos)
    return folder


def test_a_folder_of_nights_gives_them_in_order_and_they_can_be_extracted(home: Path, tmp_path: Path) -> None:
    export(tmp_path / "my shop")
    for other in ("2026-11-31", "20261105", "latest"):
        (tmp_path / "my shop" / other).mkdir()
    assert own(tmp_path / "my shop") == NIGHTS
    assert settings().workspace == home / "work" / "shops" / "my_shop"
    assert source() == {
        "where": f"{tmp_path}/my shop/{{night}}",
        "mapping": None,
        "markers": ["_SUCCESS", "manifest.json"],
    }
    assert [run_stage("extract", night).outcome for night in NIGHTS] == ["written"] * 3
    assert (home / "params.yaml").read_text() == PARAMS, "the sample's parameters stay"


def test_of_many_nights_the_newest_are_run(tmp_path: Path) -> None:
    assert own(export(tmp_path / "shop"), nights=2) == NIGHTS[1:]


@pytest.mark.parametrize(
    "name",
    [
        "dump-{night}/listings",
        "{night:%Y%m%d}",
        "{night:%Y}/{night:%m}/{night:%d}",
        "{night:%Y}/{night}",
        "[1] {night}",
    ],
)
def test_the_date_may_stand_anywhere_and_be_written_in_other_ways(tmp_path: Path, name: str) -> None:
    rows, photos = market(1)
    for night in NIGHTS:
        write_dump(tmp_path / "shop" / name.format(night=date.fromisoformat(night)), rows, photos)
    assert own(f"{tmp_path}/shop/{name}") == NIGHTS
    assert run_stage("extract", NIGHTS[1]).outcome == "written"


def test_a_url_with_the_night_in_it_is_a_source_too(tmp_path: Path) -> None:
    export(tmp_path / "shop")
    assert own(f"file://{tmp_path}/shop/{{night}}") == NIGHTS
    assert run_stage("extract", NIGHTS[0]).outcome == "written"


def test_one_plain_folder_is_tonight_and_may_be_given_again(home: Path, tmp_path: Path) -> None:
    rows, photos = market(2)
    write_dump(tmp_path / "shop", rows, photos)
    (tmp_path / "shop" / "_SUCCESS").unlink()
    for _ in range(2):
        assert own(tmp_path / "shop") == ["2026-12-24"]
        assert source() == {"where": "work/dumps/{night}", "mapping": None, "markers": []}
    assert run_stage("extract", "2026-12-24").written["files"] == len(photos) + 1


def test_a_foreign_night_takes_its_mapping_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    columns = {"listing_id": "sku", "title": "name"}
    mapping = {"schema": "ecclip.mapping/1", "source": {"format": "csv", "files": ["*.csv"]}, "columns": columns}
    (tmp_path / "shop.yaml").write_text(yaml.safe_dump(mapping))
    for night in NIGHTS:
        (tmp_path / "exports" / night).mkdir(parents=True)
        (tmp_path / "exports" / night / "all.csv").write_text(f"sku,name\n1,mug of {night}\n")
    monkeypatch.chdir(tmp_path)
    assert own("exports", "shop.yaml") == NIGHTS
    assert settings().workspace.name == "shop"
    assert source()["mapping"] == str(tmp_path / "shop.yaml")
    assert run_stage("extract", NIGHTS[2]).written["listings"] == 1
    assert run_stage("land", NIGHTS[2]).outcome == "written"


@pytest.mark.parametrize("dump", ["nowhere", "nowhere/{night}", "memory://nowhere"])
def test_what_is_not_there_is_said_before_a_workspace_is_made(home: Path, tmp_path: Path, dump: str) -> None:
    with pytest.raises(ConfigError, match="next: "):
        own(dump if "://" in dump else tmp_path / dump)
    assert not (home / "work").exists()


def test_only_the_section_is_written_and_only_what_is_given(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = "a: 1\nsource: # where\n  wait_s: 60\n  where: old/{night}\n\n# then\nb: {c: 2}\n"
    for number, (before, kept) in enumerate({params: {"wait_s": 60}, "a: 1\n": {}}.items()):
        (home / "params.yaml").write_text(before)
        own(export(tmp_path / f"shop {number}"))
        said = {"where": f"{tmp_path}/shop {number}/{{night}}", "mapping": None}
        assert source() == kept | said | {"markers": ["_SUCCESS", "manifest.json"]}
        text = (settings().workspace / "params.yaml").read_text()
        rest = {key: value for key, value in yaml.safe_load(text).items() if key != "source"}
        assert rest == {key: value for key, value in yaml.safe_load(before).items() if key != "source"}
        assert ("# then" in text) == ("# then" in before)
        monkeypatch.setenv("ECCLIP_WORKSPACE", str(home))
        settings.cache_clear()


@pytest.mark.parametrize("config", ["[core]\n    analytics = false\n", "[core]\n    no_scm = true\n"])
def test_a_shop_has_a_dvc_of_its_own_that_needs_no_git(home: Path, tmp_path: Path, config: str) -> None:
    (home / "dags").mkdir()
    (home / ".dvc").mkdir()
    (home / ".dvc" / "config").write_text(config)
    own(export(tmp_path / "my_shop"))
    shop = home / "work" / "shops" / "my_shop"
    assert settings().workspace == shop
    assert (shop / "dags").samefile(home / "dags")
    assert yaml.safe_load((shop / "params.yaml").read_text())["sample"] == {"listings": 9}
    assert (shop / ".dvc" / "config").read_text().count("no_scm = true") == 1


def test_the_sample_is_not_mixed_with_a_shops_nights(home: Path, tmp_path: Path) -> None:
    own(export(tmp_path / "shop"))
    with pytest.raises(ConfigError, match="sample"):
        sample_nights(Console(file=io.StringIO()), 1)
    assert os.environ["ECCLIP_WORKSPACE"] == str(settings().workspace)
