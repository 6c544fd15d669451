"""Shipped mappings of shop platforms: exports as the platforms write them become listings with the right values."""

# ruff: noqa: E501 - rows of exports are as long as the platforms write them
from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from ecclip.catalog.mapping.map_dump import map_dump
from ecclip.core import Counts

PHOTO = b"\xff\xd8 a photo"


def mapped(name: str, source: Path, output: Path) -> tuple[dict[str, dict[str, Any]], Counts]:
    """Return the listings by id; each row read is a listing or counted."""
    counts = map_dump(Path(name), str(source), output, "2026-11-01")
    rows = [row for path in sorted(output.glob("listings-*.parquet")) for row in pq.read_table(path).to_pylist()]
    good = {row["listing_id"]: row for row in rows if row["_problem"] is None}
    assert len(good) == counts.written["listings"]
    assert counts.read["rows"] == counts.written["listings"] + sum(counts.dropped.values())
    return good, counts


def written(folder: Path, name: str, lines: list[str], encoding: str = "utf-8") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text("\n".join(lines) + "\n", encoding=encoding)
    return folder


def case(name: str) -> Path:
    root = os.environ.get("ECCLIP_TEST_CASES")
    if not root or not (Path(root) / name).is_dir():
        pytest.skip(f"ECCLIP_TEST_CASES does not hold {name}")
    return Path(root) / name


SHOPIFY = [
    "Handle,Title,Body (HTML),Vendor,Type,Option1 Name,Option1 Value,Option2 Name,Option2 Value,Option3 Name,Option3 Value,"
    "Variant SKU,Variant Price,Image Src,Image Position,Variant Image",
    'shirt,Shirt,"<p>Soft,\nwarm</p>",Acme,Tops > Shirts,Color,Red,Size,S,Fit,Slim,S-1,10.00,img/red.jpg,1,',
    "shirt,,,,,,Red,,M,,Slim,S-2,10.00,img/side.jpg,2,",
    "shirt,,,,,,Blue,,M,,Slim,S-3,11.00,,,img/blue.jpg",
    "shirt,,,,,,,,,,,,,img/back.jpg,3,",
    "mug,Mug,,Acme,Kitchen,Title,Default Title,,,,,,7.50,https://cdn.example/mug.jpg,1,",
]
SHOPIFY_2025 = [
    "Title,URL handle,Description,Vendor,Product category,Option1 name,Option1 value,SKU,Price,Product image URL,Variant image URL",
    "Shirt,shirt,Soft,Acme,Tops > Shirts,Color,Red,S-1,10.00,img/red.jpg,",
    ",shirt,,,,,Blue,S-3,11.00,,img/blue.jpg",
    ",shirt,,,,,,,,img/back.jpg,",
]


def test_shopify_variants_take_from_their_product_and_photo_rows_are_no_listings(tmp_path: Path) -> None:
    source = written(tmp_path / "shop", "products_export.csv", SHOPIFY)
    (source / "img").mkdir()
    for name in ("red", "side", "blue"):
        (source / "img" / f"{name}.jpg").write_bytes(PHOTO)
    rows, counts = mapped("shopify", source, tmp_path / "out")
    assert list(rows) == ["shirt/Red/S/Slim", "shirt/Red/M/Slim", "shirt/Blue/M/Slim", "mug"]
    blue = rows["shirt/Blue/M/Slim"]
    assert (blue["title"], blue["brand"], blue["price"]) == ("Shirt", "Acme", "11.00")
    assert blue["category"] == ["Tops", "Shirts"]
    assert blue["attributes"] == [("color", "Blue"), ("fit", "Slim"), ("size", "M")]
    assert (blue["image_uri"], blue["catalog_id"]) == ("img/blue.jpg", "shirt")
    assert rows["mug"]["attributes"] is None
    assert counts.dropped == {"nothing_of_its_own": 1}
    assert (counts.read["photos"], counts.written["photos"], counts.detail["photo_address"]) == (4, 3, 1)
    assert (tmp_path / "out" / "img" / "blue.jpg").read_bytes() == PHOTO


def test_shopify_with_the_headers_of_2025(tmp_path: Path) -> None:
    rows, counts = mapped("shopify", written(tmp_path / "shop", "p.csv", SHOPIFY_2025), tmp_path / "out")
    assert list(rows) == ["shirt/Red", "shirt/Blue"]
    assert rows["shirt/Blue"]["attributes"] == [("color", "Blue")]
    assert rows["shirt/Blue"]["title"] == "Shirt"
    assert rows["shirt/Blue"]["image_uri"] == "img/blue.jpg"
    assert counts.dropped == {"nothing_of_its_own": 1}


def test_shopify_rows_of_a_product_need_not_stand_together(tmp_path: Path) -> None:
    lines = [SHOPIFY_2025[0], SHOPIFY_2025[2], "Cap,cap,,Acme,Hats,Title,Default Title,,5.00,,", SHOPIFY_2025[1]]
    rows, counts = mapped("shopify", written(tmp_path / "shop", "p.csv", lines), tmp_path / "out")
    assert {name: row["title"] for name, row in rows.items()} == {
        "shirt/Blue": "Shirt",
        "cap": "Cap",
        "shirt/Red": "Shirt",
    }
    assert counts.dropped == {}


def test_case_shopify(tmp_path: Path) -> None:
    rows, _ = mapped("shopify", case("01-shopify") / "products.csv", tmp_path / "out")
    assert {name: row["title"] for name, row in rows.items()} == {
        "chain-a/Blue": "Chain A", "chain-a/Black": "Chain A", "ring-b": "Ring B", "bead-c/S": "Bead C", "bead-c/M": "Bead C",
    }  # fmt: skip
    assert rows["bead-c/S"]["attributes"] == [("size", "S")]
    assert {row["catalog_id"] for row in rows.values()} == {"chain-a", "ring-b", "bead-c"}


WOO = [
    "ID,Type,SKU,Name,Description,Regular price,Categories,Images,Parent,Attribute 1 name,Attribute 1 value(s),"
    "Attribute 2 name,Attribute 2 value(s)",
    r"7,variation,,Round Tee - Blue,,21.50,,img/b.jpg,id:10,Color,Blue,,",
    r'10,variable,,Round Tee,Soft,,"Clothing > Tees, Clothing > Sale","img/t1.jpg, img/t2.jpg",,Color,"Blue, Red",Size,"L, M"',
    r"11,variation,tee-r,Round Tee - Red,,20.00,,,id:10,Color,Red,Size,M",
    r'12,simple,hood,Hood,,45.00,"Body Care > Perfume\, Cologne > Unisex, Sale",img/h.jpg,,Logo,"Yes, No",,',
]


def test_woocommerce_takes_the_first_path_and_photo_and_names_its_attributes(tmp_path: Path) -> None:
    rows, counts = mapped("woocommerce", written(tmp_path / "shop", "wc-product-export.csv", WOO), tmp_path / "out")
    assert list(rows) == ["7", "10", "11", "12"]
    assert rows["10"]["category"] == ["Clothing", "Tees"]
    assert rows["10"]["image_uri"] == "img/t1.jpg"
    assert rows["12"]["category"] == ["Body Care", "Perfume, Cologne", "Unisex"]
    assert rows["12"]["attributes"] == [("logo", "Yes, No")]
    red = rows["11"]
    assert (red["category"], red["description"], red["image_uri"]) == (["Clothing", "Tees"], "Soft", "img/t1.jpg")
    assert red["attributes"] == [("color", "Red"), ("size", "M")]
    assert {rows[name]["catalog_id"] for name in ("7", "10", "11")} == {"id:10"}
    assert counts.dropped == {}


@pytest.mark.parametrize(
    "header",
    [
        "ID,Typ,Artikelnummer,Name,Beschreibung,Regulärer Preis,Kategorien,Bilder,Übergeordnetes Produkt,Attribut 1 Name,"
        "Attribut 1 Wert(e),Attribut 2 Name,Attribut 2 Wert(e)",
        "ID,Type,UGS,Nom,Description,Tarif régulier,Catégories,Images,Parent,Nom de l’attribut 1,"
        "Valeur(s) de l’attribut 1 ,Nom de l’attribut 2,Valeur(s) de l’attribut 2 ",
        "ID,Tipo,SKU,Nombre,Descripción,Precio normal,Categorías,Imágenes,Superior,Nombre del atributo 1,"
        "Valor(es) del atributo 1,Nombre del atributo 2,Valor(es) del atributo 2",
        WOO[0].upper(),
    ],
    ids=["German", "French", "Spanish", "upper case"],
)
def test_woocommerce_in_other_languages(tmp_path: Path, header: str) -> None:
    lines = [
        header,
        *[line.replace("20.00", '"20,00"').replace("21.50", '"21,50"').replace("45.00", '"45,00"') for line in WOO[1:]],
    ]
    rows, _ = mapped("woocommerce", written(tmp_path / "shop", "p.csv", lines, "utf-8-sig"), tmp_path / "out")
    red = rows["11"]
    assert (red["title"], red["price"], red["category"]) == ("Round Tee - Red", "20.00", ["Clothing", "Tees"])
    assert red["attributes"] == [("color", "Red"), ("size", "M")]


def test_case_woocommerce(tmp_path: Path) -> None:
    rows, _ = mapped("woocommerce", case("02-woocommerce") / "products.csv", tmp_path / "out")
    assert rows["10"]["category"] == ["Clothing", "Tees"]
    assert rows["10"]["image_uri"] == "img/tee-1.jpg"
    assert rows["12"]["category"] == ["Clothing", "Caps"]
    assert rows["13"]["category"] == ["Body Care", "Perfume, Cologne", "Unisex"]
    assert dict(rows["13"]["attributes"]) == {"color": "Blue", "logo": "Yes, No"}


MAGENTO = [
    "sku,store_view_code,product_type,categories,name,price,base_image,additional_attributes",
    'T-S,,simple,"Default Category/Men/Tops,Default Category/Sale",Run LumaTech&trade; ® Tee,29.00,/t/1/t.jpg,"size=S,color=Red, Blue"',
    "T-S,fr,,,Maillot,,,",
    'T,,configurable,"Default Category/Home, Garden/Pots,Default Category/Sale",Tee,29.00,no_selection,climate=Warm|Cold',
    "T-M,,simple,,Tee M,29.00,/t/9/none.jpg,",
]


@pytest.mark.parametrize("media", ["pub/media/catalog/product", "pub/media/import", "."])
def test_magento_paths_attributes_and_photos_below_the_media_folder(tmp_path: Path, media: str) -> None:
    source = written(tmp_path / "shop", "catalog_product.csv", MAGENTO)
    (source / media / "t" / "1").mkdir(parents=True)
    (source / media / "t" / "1" / "t.jpg").write_bytes(PHOTO)
    rows, counts = mapped("magento", source, tmp_path / "out")
    assert list(rows) == ["T-S", "T", "T-M"]
    shirt = rows["T-S"]
    assert shirt["category"] == ["Default Category", "Men", "Tops"]
    assert shirt["title"] == "Run LumaTech&trade; ® Tee"
    assert shirt["attributes"] == [("color", "Red, Blue"), ("size", "S")]
    assert (tmp_path / "out" / shirt["image_uri"]).read_bytes() == PHOTO
    assert rows["T"]["category"] == ["Default Category", "Home, Garden", "Pots"]
    assert rows["T"]["image_uri"] is None
    assert counts.dropped == {"skipped_store_view_code": 1}
    assert (counts.written["photos"], counts.detail["photo_missing"]) == (1, 1)


def test_case_magento(tmp_path: Path) -> None:
    rows, counts = mapped("magento", case("03-magento") / "products.csv", tmp_path / "out")
    assert rows["T1-S-Red"]["category"] == ["Default Category", "Men", "Tops", "Tees"]
    assert dict(rows["T1-S-Red"]["attributes"]) == {"color": "Red", "has_options": "0", "size": "S"}
    assert "LumaTech" in rows["T1-S-Red"]["title"]
    assert "unparsed_attributes" not in counts.detail


PRESTASHOP = [
    "Product ID;Active (0/1);Name *;Categories (x,y,z...);Price tax excluded;Brand;Image URLs (x,y,z...);"
    "Feature (Name:Value:Position:Customized)",
    "1;1;Player A;Home, Players;49;Maker;img/a.jpg,img/b.jpg;Color:Blue:1,Height:10 cm:2;",
    '2;1;Player 5" B;Home, Players;66,05;Maker;;;;',
    "3;1;Player C;Home, Players;1 299,00;Maker;;",
]


def test_prestashop_rows_may_end_with_the_delimiter(tmp_path: Path) -> None:
    rows, counts = mapped("prestashop", written(tmp_path / "shop", "products.csv", PRESTASHOP), tmp_path / "out")
    assert [row["price"] for row in rows.values()] == ["49", "66.05", "1299.00"]
    assert rows["1"]["category"] == ["Home", "Players"]
    assert rows["1"]["image_uri"] == "img/a.jpg"
    assert rows["1"]["attributes"] == [("color", "Blue"), ("height", "10 cm")]
    assert rows["2"]["title"] == 'Player 5" B'
    assert counts.dropped == {}


def test_case_prestashop(tmp_path: Path) -> None:
    rows, counts = mapped("prestashop", case("04-prestashop") / "products.csv", tmp_path / "out")
    assert [(row["title"], row["price"]) for row in rows.values()] == [
        ("Player A", "49"), ("Player B", "66.05"), ("Player C", "99.00"),
    ]  # fmt: skip
    assert counts.dropped == {}


PRODUCTS = [
    {"sku": 1, "name": "AAA batteries", "price": 5.49, "manufacturer": "Acme", "image": "https://example.com/1.jpg",
     "category": [{"id": "a1", "name": "Connected Home"}, {"id": "a2", "name": "Batteries, Chargers"}]},
    {"sku": 2, "name": "AA batteries", "price": 7, "manufacturer": "Acme", "category": []},
]  # fmt: skip


@pytest.mark.parametrize("form", ["pretty", "compact", "lines"])
def test_objects_in_a_list_as_an_array_or_line_by_line(tmp_path: Path, form: str) -> None:
    text = {
        "pretty": json.dumps(PRODUCTS, indent=2),
        "compact": json.dumps(PRODUCTS),
        "lines": "\n".join(map(json.dumps, PRODUCTS)),
    }[form]
    rows, _ = mapped("bestbuy", written(tmp_path / "shop", "products.json", [text]), tmp_path / "out")
    assert rows["1"]["category"] == ["Connected Home", "Batteries, Chargers"]
    assert (rows["1"]["price"], rows["1"]["brand"], rows["2"]["price"]) == ("5.49", "Acme", "7")
    assert rows["2"]["category"] is None


def test_names_in_a_list_without_objects(tmp_path: Path) -> None:
    product = {"objectID": "9", "name": "Cable", "brand": "Acme", "categories": ["Audio", "Cables"], "price": 3.5}
    rows, _ = mapped("bestbuy", written(tmp_path / "shop", "p.json", [json.dumps([product])]), tmp_path / "out")
    assert (rows["9"]["category"], rows["9"]["brand"]) == (["Audio", "Cables"], "Acme")


@pytest.mark.parametrize("name", ["products.json", "compact.json", "lines.jsonl"])
def test_case_json_array(tmp_path: Path, name: str) -> None:
    rows, _ = mapped("bestbuy", case("15-json-array") / name, tmp_path / "out")
    assert {row["listing_id"]: row["category"] for row in rows.values()} == {
        "43900": ["Connected Home", "Batteries"], "48530": ["Connected Home", "Batteries"],
    }  # fmt: skip


FEED = [
    [
        "id",
        "title",
        "description",
        "price",
        "image_link",
        "additional_image_link",
        "brand",
        "product_type",
        "item_group_id",
        "adult",
    ],
    [
        "1",
        'Pan 12" black',
        'The "best" pan',
        "12.99 USD",
        "https://a.example/1.jpg",
        "",
        "Acme",
        "Home > Pans, Sale",
        "g",
        "no",
    ],
    [
        "2",
        '"Grand" wine',
        "",
        "1,299.00 EUR",
        "",
        "https://a.example/2.jpg,https://a.example/3.jpg",
        "",
        "Wine",
        "",
        "yes",
    ],
]


@pytest.mark.parametrize("spaced", [False, True])
def test_a_product_feed_says_its_currency_beside_the_price(tmp_path: Path, spaced: bool) -> None:
    lines = [
        "\t".join(cell.replace("_", " ") if spaced else cell for cell in FEED[0]),
        *["\t".join(row) for row in FEED[1:]],
    ]
    rows, _ = mapped("google_merchant", written(tmp_path / "shop", "feed.tsv", lines), tmp_path / "out")
    assert [(row["price"], row["currency"]) for row in rows.values()] == [("12.99", "USD"), ("1299.00", "EUR")]
    assert rows["1"]["title"] == 'Pan 12" black'
    assert rows["1"]["category"] == ["Home", "Pans"]
    assert rows["2"]["image_uri"] == "https://a.example/2.jpg"
    assert (rows["1"]["age_restricted"], rows["2"]["age_restricted"]) == (False, True)
