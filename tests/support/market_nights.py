"""Two nights of a small market as the catalog leaves them, with something of everything that a night may hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from chain import TWO_PARTS, run_chain
from dumps import market, picture, write_dump

Rows = list[dict[str, Any]]
Photos = dict[str, bytes]


def first_night() -> tuple[Rows, Photos]:
    """Return a market with a picture that shows no product, a page for a photo, and rows that repeat a listing."""
    rows, photos = market(40)
    for number in range(5, 15):
        photos[rows[number]["image_uri"]] = picture(1000 + number)  # of this listing alone
    photos[rows[3]["image_uri"]] = b"<html>"
    photos["images/none.jpg"] = picture(77)
    newer = [{**row, "title": row["title"] + " again", "updated_at": "2026-02-01T00:00:00Z"} for row in rows[20:80:12]]
    repeated = [*newer, *rows[25:80:20]]
    for number in range(8):
        hidden = {"listing_id": f"placeholder-{number}", "seller_id": f"q{number}", "image_uri": "images/none.jpg"}
        other = {"title": f"Thing {chr(97 + number) * 4}", "brand": None, "category": ["x", f"c{number}"]}
        rows.append({**rows[0], **hidden, **other})
    return [*rows, *repeated], photos


def second_night() -> tuple[Rows, Photos]:
    """Return the night after: texts and photos changed, two listings gone, one new."""
    rows, photos = first_night()
    rows[5]["title"] = "<b>Another</b> title 500ML"
    rows[6]["description"] = "New &amp; longer"
    rows[7]["image_uri"] = rows[8]["image_uri"]
    rows[9]["image_uri"] = None
    photos[rows[10]["image_uri"]] = picture(1234)
    photos[rows[11]["image_uri"]] = photos[rows[11]["image_uri"]][:300]
    new = {**rows[14], "listing_id": "new-1", "image_uri": "images/new.jpg"}
    del rows[16], rows[17]
    return [*rows, new], photos | {"images/new.jpg": picture(4321)}


def run_nights(work: Path) -> None:
    """Publish the first night in ``1`` and group the second in ``2``, in two partitions; each stage sees its declared
    inputs alone.
    """
    how: dict[str, Any] = {"alone": True, **TWO_PARTS}
    run_chain(work / "1", write_dump(work / "dump1", *first_night()), **how)
    how |= {"previous": work / "1" / "publish", "previous_land": work / "1" / "land"}
    run_chain(work / "2", write_dump(work / "dump2", *second_night()), until="group", gate=False, **how)
