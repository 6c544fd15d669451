"""One recipe serves every shop: what is built knows no public data set by name; benchmarks read some."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
NAMES = re.compile(
    r"myntra|hm_articles|flipkart|grocery_?store|clothing_small|whisky_bottles|instacart|bigbasket|wdc_|abt_buy"
    r"|amazon_google|oa_mine|ae_110k|indonesian_attributes|fashion-?iq|deepfashion|polyvore",
    re.IGNORECASE,
)
READERS = ROOT / "ecclip" / "bench"


def _named(path: Path) -> list[str]:
    return sorted({found.lower() for found in NAMES.findall(path.read_text(encoding="utf-8"))})


def test_no_data_set_is_named_outside_the_readers_of_the_benchmarks() -> None:
    files = [path for path in (ROOT / "ecclip").rglob("*.py") if READERS not in path.parents]
    files += [ROOT / "params.yaml", *(ROOT / "dags").rglob("*.py"), *(ROOT / "triton_models").rglob("*.py")]
    assert len(files) > 100
    assert {str(path.relative_to(ROOT)): _named(path) for path in files if _named(path)} == {}


def test_the_readers_are_where_the_names_are() -> None:
    assert "myntra" in _named(READERS / "quality" / "data.py")
