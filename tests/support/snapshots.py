"""Write a small learnable snapshot without Spark: shape says the category, colour the colour, title says both."""

from __future__ import annotations

import hashlib
import io
import json
import random
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from manifests import seal
from PIL import Image, ImageDraw

from ecclip.core import canonical_json, write_atomic
from ecclip.formats.columns import CATEGORY_KEY
from ecclip.formats.documents import write_document
from ecclip.formats.shards import write_shards
from ecclip.formats.snapshot import GROUPS, HISTORY, LISTINGS, QUARANTINE, SHARDS, STATISTICS, mark_snapshot
from ecclip.formats.taxonomy.tree import Taxonomy, write_taxonomy
from ecclip.product_input import DEFINITION, CanonicalPhoto, canonical_jpeg, definition

CATEGORIES = [
    (["fashion", "shoes", "sneakers"], "sneakers"),
    (["fashion", "bags", "totes"], "tote bag"),
    (["home", "kitchen", "mugs"], "mug"),
    (["home", "decor", "lamps"], "lamp"),
    (["food", "drinks", "wine"], "wine"),
    (["electronics", "audio", "speakers"], "speaker"),
]
COLOURS = {"red": (205, 30, 40), "green": (30, 150, 60), "blue": (35, 70, 205), "yellow": (235, 200, 30)}
MATERIALS = ["cotton", "steel", "wood", None]
BRANDS = ["Arvo", "Bellmoor", "Cintra", "Dorwin", None]
IMAGE_SIZE = 128
ROWS_PER_SHARD = 512

LISTINGS_SCHEMA = pa.schema(
    [
        pa.field("listing_id", pa.string()),
        pa.field("seller_id", pa.string()),
        pa.field("title", pa.string()),
        pa.field("title_original", pa.string()),
        pa.field("grouping_title", pa.string()),
        pa.field("description", pa.string()),
        pa.field("category", pa.list_(pa.string())),
        pa.field("attributes", pa.map_(pa.string(), pa.string())),
        pa.field("brand", pa.string()),
        pa.field("price", pa.float64()),
        pa.field("currency", pa.string()),
        pa.field("catalog_id", pa.string()),
        pa.field("age_restricted", pa.bool_()),
        pa.field("updated_at", pa.timestamp("us", tz="UTC")),
        pa.field("image_uri", pa.string()),
        pa.field("image", pa.binary()),
        pa.field("image_sha256", pa.string()),
        pa.field("image_phash", pa.string()),
        pa.field("image_error", pa.string()),
        pa.field("group_id", pa.string()),
        pa.field("split", pa.string()),
        pa.field("mismatch", pa.bool_()),
    ]
)
QUARANTINE_SCHEMA = pa.schema(
    [pa.field(name, pa.string()) for name in ("listing_id", "stage", "reason", "detail", "row")]
)
EDGES_SCHEMA = pa.schema(
    [
        pa.field("left", pa.string()),
        pa.field("right", pa.string()),
        pa.field("evidence", pa.string()),
        pa.field("weight", pa.float64()),
        pa.field("mark", pa.string()),
    ]
)


def write_snapshot(
    folder: Path, listings: int = 120, seed: int = 0, landed: Path | None = None, taxonomy: Taxonomy | None = None
) -> Path:
    """Write a published snapshot below ``folder`` (its bytes follow from the arguments) and return ``folder``.

    ``landed`` gets the photos as the shop sent them, as the stage land leaves them, and the rows as ingest does.

    Every category has groups in train, validation and test from about 90 listings on; one listing in 20 has no
    image, another one in 20 has an image_error.
    """
    originals: dict[str, bytes] = {}
    rows, edges = _rows(listings, random.Random(seed), seed, originals)
    if landed is not None:
        _write_landed(landed, originals)
        _write(landed / LISTINGS / "part-00000.parquet", [_as_written(row) for row in rows], LISTINGS_SCHEMA)
    write_atomic(folder / DEFINITION, canonical_json(definition(CanonicalPhoto())))
    _write(folder / LISTINGS / "part-00000.parquet", rows, LISTINGS_SCHEMA)
    _write(folder / GROUPS / "edges-00000.parquet", edges, EDGES_SCHEMA)
    _write(folder / QUARANTINE / "part-00000.parquet", _quarantine(rows), QUARANTINE_SCHEMA)
    shards = _write_shards(folder / SHARDS, rows)
    write_atomic(folder / STATISTICS, canonical_json(_statistics(rows)))
    write_document(folder / HISTORY, "ecclip.history/1", {"nights": []})
    mark_snapshot(folder)
    if taxonomy is not None:
        write_taxonomy(taxonomy, folder)
    counts = {"read": {"listings": len(rows)}, "written": {"listings": len(rows), "shards": shards}}
    return seal(folder, "publish", f"fixture-{listings}-{seed}", **counts)


def change_listings(snapshot: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Rewrite the fixture's listings after ``change`` has worked on every row."""
    path = snapshot / LISTINGS / "part-00000.parquet"
    table = pq.read_table(path)
    rows = table.to_pylist()
    for row in rows:
        change(row)
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), path)


def split_of(group_id: str) -> str:
    """Return the split that a group belongs to (the same rule as the publish stage)."""
    bucket = int(hashlib.sha256(group_id.encode()).hexdigest()[:8], 16) % 10
    return "train" if bucket < 8 else "validation" if bucket == 8 else "test"


def _write_landed(folder: Path, originals: dict[str, bytes]) -> None:
    photos = [{"image_uri": f"{one}.png", "image_sha256": one, "image": originals[one]} for one in sorted(originals)]
    places = [{**photo, "bytes": len(photo["image"]), "part": "part-00000.parquet"} for photo in photos]
    (folder / "images").mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(photos), folder / "images" / "part-00000.parquet")
    pq.write_table(pa.Table.from_pylist(places).drop_columns("image"), folder / "photos.parquet")


def _as_written(row: dict[str, Any]) -> dict[str, Any]:
    written = row["description"] and f"<p>{row['description']}</p>"
    return {**row, "title": row["title_original"], "description": written, "image": None}


def _rows(
    listings: int, chance: random.Random, seed: int, originals: dict[str, bytes]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    rows: list[dict[str, Any]] = []
    edges: list[dict[str, Any]] = []
    group = 0
    while len(rows) < listings:
        category, noun = CATEGORIES[group % len(CATEGORIES)]
        product = {
            "category": category,
            "noun": noun,
            "shape": group % len(CATEGORIES),
            "colour": chance.choice(list(COLOURS)),
            "material": chance.choice(MATERIALS),
            "brand": chance.choice(BRANDS),
            "number": chance.randrange(100, 1000),
            "price": round(chance.uniform(3, 300), 2),
            "group_id": _group_id(group, seed),
        }
        size = min(chance.randrange(1, 5), listings - len(rows))
        first = len(rows)
        rows.extend([_row(first + offset, product, chance, originals) for offset in range(size)])
        for left, right in zip(rows[first:-1], rows[first + 1 :], strict=True):
            edges.append(
                {"left": left["listing_id"], "right": right["listing_id"], "evidence": "catalog_id", "weight": 1.0}
            )
        group += 1
    return rows, edges


def _group_id(group: int, seed: int) -> str:
    # a salt is tried until the group falls into the split that keeps all categories in all splits
    wanted = ["train", "train", "train", "validation", "test"][group // len(CATEGORIES) % 5]
    salt = 0
    while True:
        group_id = "g" + hashlib.sha256(f"{seed}/{group}/{salt}".encode()).hexdigest()[:16]
        if split_of(group_id) == wanted:
            return group_id
        salt += 1


def _row(number: int, product: dict[str, Any], chance: random.Random, originals: dict[str, bytes]) -> dict[str, Any]:
    words = [product["brand"], product["colour"], product["material"], product["noun"], str(product["number"])]
    words = [word for word in words if word]
    if chance.random() < 0.3:
        chance.shuffle(words)
    title = " ".join(words)
    original = None if number % 20 == 7 or number % 20 == 13 else _picture(product, chance)
    image = canonical_jpeg(original, CanonicalPhoto())[0] if original else None
    digest = hashlib.sha256(original).hexdigest() if original else None
    if original and digest:
        originals[digest] = original
    attributes = {"color": product["colour"], "material": product["material"]}
    return {
        "listing_id": f"l{number:06d}",
        "seller_id": f"s{chance.randrange(8)}",
        "title": title,
        "title_original": f"<b>{title}</b>" if chance.random() < 0.2 else title,
        "grouping_title": title,
        "description": f"A {product['colour']} {product['noun']}." if chance.random() < 0.7 else None,
        "category": product["category"],
        "attributes": [(name, value) for name, value in attributes.items() if value and chance.random() < 0.9],
        "brand": product["brand"],
        "price": round(product["price"] * chance.uniform(0.9, 1.1), 2),
        "currency": "EUR",
        "catalog_id": f"c{product['group_id'][1:7]}",
        "age_restricted": product["noun"] == "wine",
        "updated_at": datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=number),
        "image_uri": None if number % 20 == 7 else f"images/{number:06d}.jpg",
        "image": image,
        "image_sha256": digest,
        "image_phash": hashlib.sha256(product["group_id"].encode()).hexdigest()[:16] if image else None,
        "image_error": "truncated" if number % 20 == 13 else None,
        "group_id": product["group_id"],
        "split": split_of(product["group_id"]),
        "mismatch": False,
    }


def _picture(product: dict[str, Any], chance: random.Random) -> bytes:
    light = chance.randrange(200, 250)
    picture = Image.new("RGB", (IMAGE_SIZE, IMAGE_SIZE + chance.randrange(0, 40)), (light, light, light))
    draw = ImageDraw.Draw(picture)
    left, top, side = chance.randrange(10, 30), chance.randrange(10, 30), chance.randrange(64, 88)
    box = [left, top, left + side, top + side]
    colour = COLOURS[product["colour"]]
    _shape(draw, product["shape"], box, colour)
    if product["material"]:
        step = {"cotton": 6, "steel": 12, "wood": 20}[product["material"]]
        for x in range(box[0], box[2], step):
            draw.line([x, box[1] + side // 3, x, box[3] - side // 3], fill=(20, 20, 20), width=1)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _shape(draw: ImageDraw.ImageDraw, shape: int, box: list[int], colour: tuple[int, int, int]) -> None:
    left, top, right, bottom = box
    middle = (left + right) // 2
    if shape == 0:
        draw.polygon([(left, bottom), (left, (top + bottom) // 2), (right, bottom)], fill=colour)
    elif shape == 1:
        draw.rectangle([left, (top + bottom) // 2, right, bottom], fill=colour)
        draw.arc(box, 180, 360, fill=colour, width=5)
    elif shape == 2:
        draw.ellipse(box, fill=colour)
    elif shape == 3:
        draw.polygon([(middle, top), (left, bottom), (right, bottom)], fill=colour)
    elif shape == 4:
        draw.rectangle([middle - 8, top, middle + 8, bottom], fill=colour)
    else:
        draw.rectangle(box, outline=colour, width=12)


def _quarantine(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {
            "listing_id": row["listing_id"],
            "stage": "clean",
            "reason": row["image_error"],
            "detail": "the photo cannot be decoded",
            "row": json.dumps({"image_uri": row["image_uri"]}),
        }
        for row in rows
        if row["image_error"]
    ]


def _write_shards(folder: Path, rows: list[dict[str, Any]]) -> int:
    chosen = [
        row | {CATEGORY_KEY: "/".join(row["category"])} for row in rows if row["split"] == "train" and row["image"]
    ]
    chosen.sort(key=lambda row: (row[CATEGORY_KEY], hashlib.sha256(row["listing_id"].encode()).hexdigest()))
    return len(write_shards(folder, chosen, ROWS_PER_SHARD).shards)


def _statistics(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the same names as the publish stage writes."""
    nullable = ("description", "category", "attributes", "brand", "price", "catalog_id", "age_restricted", "image")
    groups = Counter(row["group_id"] for row in rows)
    prices = sorted(row["price"] for row in rows)
    quantiles = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
    return {
        "schema": "ecclip.statistics/1",
        "listings": len(rows),
        "groups": len(groups),
        "splits": {name: sum(row["split"] == name for row in rows) for name in ("train", "validation", "test")},
        "null_share": {name: round(sum(row[name] is None for row in rows) / len(rows), 6) for name in nullable},
        "price_quantiles": {str(share): prices[int(share * (len(prices) - 1))] for share in quantiles},
        "categories": dict(sorted(Counter("/".join(row["category"]) for row in rows).items())),
        "group_sizes": {str(size): count for size, count in sorted(Counter(groups.values()).items())},
        "duplicate_share": round(1 - len(groups) / len(rows), 6),
        "quarantined": {"truncated": sum(row["image_error"] is not None for row in rows)},
    }


def _write(path: Path, rows: list[dict[str, Any]], schema: pa.Schema) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pylist([{name: row.get(name) for name in schema.names} for row in rows], schema=schema)
    pq.write_table(table, path, row_group_size=256, compression="snappy")
