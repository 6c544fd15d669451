"""Quality of groups: pairwise precision and recall against the ground truth, and photos alone on public data."""

from __future__ import annotations

import hashlib
import io
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import imagehash
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from ecclip.catalog.group.stage import GroupConfig, group
from ecclip.formats.columns import GROUP_ID, IMAGE_ERROR, IMAGE_PHASH, IMAGE_SHA256
from ecclip.formats.snapshot import GROUPS, LISTINGS
from ecclip.product_input import FORMATS

_PHOTO = (IMAGE_SHA256, IMAGE_PHASH, IMAGE_ERROR)
_TEXTS = ("listing_id", "grouping_title", "catalog_id", "brand", "currency", *_PHOTO)
_SCHEMA = pa.schema(
    [(name, pa.string()) for name in _TEXTS]
    + [("price", pa.float64()), ("category", pa.list_(pa.string()))]
    + [("attributes", pa.map_(pa.string(), pa.string())), ("image", pa.binary())]
)
# what counts as one product: the colours of one style, or the photos of one title
TRUTHS = {"hm_articles": ("article_id", "product_code"), "myntra_fashion": ("id", "productDisplayName")}


@dataclass(frozen=True)
class PairQuality:
    """Pairs of listings in one group: how many are found, true and both."""

    found: int
    true: int
    both: int

    @property
    def precision(self) -> float:
        """Return the pairwise precision, true found pairs / found pairs; 1 if none are found."""
        return self.both / self.found if self.found else 1.0

    @property
    def recall(self) -> float:
        """Return the pairwise recall, true found pairs / true pairs; 1 if there are none."""
        return self.both / self.true if self.true else 1.0


def pair_quality(groups: Mapping[str, str], truth: Mapping[str, str]) -> PairQuality:
    """Return the pairwise quality of ``groups`` (listing to group) over the listings that ``truth`` also names."""
    known = [(group_id, truth[listing]) for listing, group_id in groups.items() if listing in truth]
    sizes = (Counter(one for one, _ in known), Counter(two for _, two in known), Counter(known))
    return PairQuality(*(sum(count * (count - 1) // 2 for count in counts.values()) for counts in sizes))


def read_groups(folder: Path) -> dict[str, str]:
    """Return listing to group of a folder of Parquet files with listing_id and group_id."""
    table = pq.read_table(folder, columns=["listing_id", GROUP_ID])
    return dict(zip(table["listing_id"].to_pylist(), table[GROUP_ID].to_pylist(), strict=True))


def read_truth(file: Path, column: str = "product_id") -> dict[str, str]:
    """Return listing to product of a truth file of the sample."""
    table = pq.read_table(file, columns=["listing_id", column])
    pairs = zip(table["listing_id"].to_pylist(), table[column].to_pylist(), strict=True)
    return {listing: product for listing, product in pairs if listing}


def photo_quality(data: Path, name: str) -> dict[str, PairQuality]:
    """Return the pairwise quality of groups from photos alone on one public set, by system.

    ``photos alone`` is the group stage without titles, prices and facts; ``equal pHash`` groups equal hashes.
    ``data`` holds the folder ``name`` with listings.parquet and images.parquet.
    """
    truth, rows = _photos(data / name, *TRUTHS[name])
    equal = {row["listing_id"]: row[IMAGE_PHASH] for row in rows}
    return {
        "photos alone": pair_quality(_photo_groups(rows), truth),
        "equal pHash": pair_quality(equal, truth),
    }


def _photos(folder: Path, key: str, product: str) -> tuple[dict[str, str], list[dict[str, Any]]]:
    listings = pq.read_table(folder / "listings.parquet", columns=[key, product]).to_pylist()
    truth = {str(row[key]): str(row[product]).lower() for row in listings if row[product]}
    rows = [row for row in _hashed(folder / "images.parquet") if row["listing_id"] in truth]
    return truth, rows


def _hashed(file: Path) -> Iterator[dict[str, Any]]:
    for batch in pq.ParquetFile(file).iter_batches(256, columns=["id", "image"]):
        for row in batch.to_pylist():
            photo = imagehash.phash(Image.open(io.BytesIO(row["image"]), formats=FORMATS).convert("RGB"))
            digest = hashlib.sha256(row["image"]).hexdigest()
            # equal prices: near photos are evidence only beside a near price
            fields = {"listing_id": str(row["id"]), "grouping_title": "", "price": 1.0, "currency": "EUR"}
            yield dict.fromkeys(_SCHEMA.names) | fields | {IMAGE_SHA256: digest, IMAGE_PHASH: str(photo)}


def _photo_groups(rows: list[dict[str, Any]]) -> dict[str, str]:
    cfg = GroupConfig.model_validate(
        {"same_photo": {"min_title_similarity": 0.0}, "near_photo": {"min_title_similarity": 0.0}}
    )
    with tempfile.TemporaryDirectory() as name:
        cleaned, none, output = (Path(name) / part for part in ("clean", "none", "group"))
        (cleaned / LISTINGS).mkdir(parents=True)
        none.mkdir()
        pq.write_table(pa.Table.from_pylist(rows, schema=_SCHEMA), cleaned / LISTINGS / "part-00000.parquet")
        group(cfg, cleaned, none, output)
        return read_groups(output / GROUPS)
