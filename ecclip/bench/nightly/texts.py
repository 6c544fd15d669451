"""Made-up listings without photos, as cleaning leaves them, in any number: for timing the grouping of a large shop."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ecclip.catalog.clean.stage import CLEAN_COLUMNS
from ecclip.formats.snapshot import LISTINGS

_TEXTS = {"category": pa.list_(pa.string()), "attributes": pa.map_(pa.string(), pa.string()), "price": pa.float64()}
_OTHER = {"age_restricted": pa.bool_(), "updated_at": pa.timestamp("us", tz="UTC"), "image": pa.binary()}
SCHEMA = pa.schema([(name, {**_TEXTS, **_OTHER}.get(name, pa.string())) for name in CLEAN_COLUMNS])
_SYLLABLES = [one + two for one in "bcdfghjklmnprstvz" for two in "aeiou"]
_PROMOTION = ("free shipping", "best price", "official", "sale up to 50%", "100% authentic", "hot deal")
_BATCH_ROWS = 20_000  # bounds the memory of the writer
_FILES = 2  # so that more than one is read at once


class _Shop:
    """Brands, nouns and values from which a product is put together by its number."""

    def __init__(self) -> None:
        chance = random.Random(5)
        self.brands = [_word(chance, 3).title() for _ in range(4000)]
        self.nouns = [_word(chance, chance.randrange(2, 4)) for _ in range(3000)]
        self.colours = [_word(chance, 2) for _ in range(40)]
        self.materials = [_word(chance, 3) for _ in range(60)]

    def product(self, number: int) -> Iterator[dict[str, Any]]:
        """Yield the offers of one product, by one to four sellers."""
        chance = random.Random(number)
        noun = chance.randrange(len(self.nouns))
        brand, values = chance.choice(self.brands), [chance.choice(self.colours), chance.choice(self.materials)]
        fixed = {
            "brand": brand,
            "category": [f"d{noun % 40}", f"c{noun % 1200}"],
            "attributes": list(zip(("colour", "material"), values, strict=True)),
            "currency": "EUR",
        }
        model = f"{_word(chance, 2)} {chance.choice('ABCDEFGHK')}{chance.randrange(10, 9999)}"
        price, given = 5 * 400 ** chance.random(), chance.random() < 0.3
        for offer in range(chance.choices((1, 2, 3, 4), (42, 28, 18, 12))[0]):
            title = _messy(" ".join([brand, model, *values, self.nouns[noun]]), chance)
            yield fixed | {
                "listing_id": f"p{number:07d}-{offer}",
                "title": title,
                "grouping_title": title,
                "price": round(price * chance.uniform(0.9, 1.15), 2),
                "catalog_id": f"C{number}" if given else None,
            }


def write_listings(folder: Path, listings: int) -> None:
    """Write ``listings/`` of a cleaned night, in bounded memory; equal numbers give equal bytes."""
    (folder / LISTINGS).mkdir(parents=True)
    shop = _Shop()
    offers = islice((offer for number in range(listings) for offer in shop.product(number)), listings)
    files = [folder / LISTINGS / f"part-{number:05d}.parquet" for number in range(_FILES)]
    writers = [pq.ParquetWriter(file, SCHEMA) for file in files]
    number = 0
    while rows := list(islice(offers, _BATCH_ROWS)):
        writers[number % _FILES].write_table(pa.Table.from_pylist(rows, schema=SCHEMA))
        number += 1
    for writer in writers:
        writer.close()


def _word(chance: random.Random, syllables: int) -> str:
    return "".join(chance.choice(_SYLLABLES) for _ in range(syllables))


def _messy(title: str, chance: random.Random) -> str:
    """Return a title with a slip, or with a phrase before or after it, now and then."""
    if chance.random() < 0.05:
        place = chance.randrange(1, len(title) - 1)
        title = title[:place] + title[place + 1 :]
    if chance.random() < 0.3:
        title = f"{chance.choice(_PROMOTION)} {title}"
    return f"{title} {chance.choice(_PROMOTION)}" if chance.random() < 0.3 else title
