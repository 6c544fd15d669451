"""The vocabulary of the sample marketplace: categories, colours, materials, brands and how sellers say them."""

from __future__ import annotations

from dataclasses import dataclass

Color = tuple[int, int, int]


@dataclass(frozen=True)
class Leaf:
    """A leaf category: its path, how often it occurs, what its products can be and how they are called."""

    path: tuple[str, ...]
    weight: int
    nouns: tuple[str, ...]
    korean: tuple[str, ...]
    colors: tuple[str, ...]
    materials: tuple[str, ...]
    patterns: tuple[str, ...]
    brands: tuple[str, ...]
    price: tuple[int, int]
    kinds: tuple[tuple[str, str], ...] = ()  # (kind, its colour): flavours of juice, sorts of drink
    kind_name: str = ""
    age_restricted: bool = False


COLORS: dict[str, Color] = {
    "red": (200, 38, 44),
    "orange": (238, 126, 34),
    "yellow": (244, 202, 52),
    "green": (52, 142, 76),
    "blue": (56, 118, 206),
    "navy": (28, 42, 92),
    "purple": (122, 66, 160),
    "pink": (240, 140, 172),
    "brown": (122, 76, 44),
    "black": (36, 36, 40),
    "white": (244, 244, 242),
    "grey": (142, 146, 152),
    "beige": (218, 196, 160),
}
COLOR_SYNONYMS: dict[str, tuple[str, ...]] = {
    "red": ("red", "crimson"),
    "orange": ("orange",),
    "yellow": ("yellow", "mustard yellow"),
    "green": ("green", "forest green"),
    "blue": ("blue", "sky blue"),
    "navy": ("navy", "navy blue"),
    "purple": ("purple", "violet"),
    "pink": ("pink", "rose pink"),
    "brown": ("brown", "tan brown"),
    "black": ("black", "jet black"),
    "white": ("white", "off-white"),
    "grey": ("grey", "gray"),
    "beige": ("beige", "cream beige"),
}
COLOR_KOREAN: dict[str, str] = {
    "red": "레드",
    "orange": "오렌지",
    "yellow": "옐로우",
    "green": "그린",
    "blue": "블루",
    "navy": "네이비",
    "purple": "퍼플",
    "pink": "핑크",
    "brown": "브라운",
    "black": "블랙",
    "white": "화이트",
    "grey": "그레이",
    "beige": "베이지",
}
PATTERN_WORDS: dict[str, tuple[str, ...]] = {
    "plain": ("plain", "solid"),
    "striped": ("striped", "stripe"),
    "dotted": ("polka dot", "dotted"),
    "checked": ("checked", "plaid"),
}
PATTERN_KOREAN: dict[str, str] = {"plain": "무지", "striped": "스트라이프", "dotted": "도트", "checked": "체크"}

_ALL = tuple(COLORS)
_CLOTH = ("plain", "striped", "dotted", "checked")
_FASHION = ("Haneul", "Norvik", "Bellamo", "Kairo", "Studio Mori", "Urbane", "Pinecrest", "Saebom")
_STEP = ("Velox", "Norvik", "Kairo", "Trailix", "Pinecrest", "Momenti")
_HOME = ("Onggi", "Lumena", "Hemlund", "Casa Brio", "Dalbit")
_DRINK = ("Sunny Grove", "Hallasan", "Fruttino", "Verde Valle")
_CELLAR = ("Castel Roux", "Old Harrow", "Monte Alba", "Blue Heron", "Seoul Reserve")
_BLADE = ("Kiyomi", "Stahlberg", "Dae Jang")

LEAVES: dict[str, Leaf] = {
    "t-shirt": Leaf(
        ("Fashion", "Clothing", "T-Shirts"), 14, ("T-Shirt", "Tee", "Crewneck T-Shirt"), ("티셔츠", "반팔티"),
        _ALL, ("cotton", "linen", "jersey"), _CLOTH, _FASHION, (9, 45),
    ),
    "dress": Leaf(
        ("Fashion", "Clothing", "Dresses"), 11, ("Dress", "Midi Dress", "Summer Dress"), ("원피스", "드레스"),
        _ALL, ("cotton", "linen", "silk"), _CLOTH, _FASHION, (25, 140),
    ),
    "sneaker": Leaf(
        ("Fashion", "Shoes", "Sneakers"), 11, ("Sneakers", "Trainers", "Running Shoes"), ("운동화", "스니커즈"),
        _ALL, ("canvas", "leather", "mesh"), ("plain", "striped", "checked"), _STEP, (35, 160),
    ),
    "boot": Leaf(
        ("Fashion", "Shoes", "Boots"), 8, ("Boots", "Ankle Boots", "Lace-up Boots"), ("부츠", "워커"),
        ("brown", "black", "beige", "grey", "red", "green", "navy"), ("leather", "suede", "rubber"), ("plain",), _STEP,
        (50, 220),
    ),
    "backpack": Leaf(
        ("Fashion", "Bags", "Backpacks"), 8, ("Backpack", "Rucksack", "School Backpack"), ("백팩", "책가방"),
        _ALL, ("canvas", "nylon", "leather"), _CLOTH, _FASHION, (25, 150),
    ),
    "handbag": Leaf(
        ("Fashion", "Bags", "Handbags"), 8, ("Handbag", "Tote Bag", "Shoulder Bag"), ("핸드백", "토트백"),
        _ALL, ("leather", "suede", "canvas"), ("plain", "striped", "checked"), _FASHION, (30, 320),
    ),
    "mug": Leaf(
        ("Home", "Kitchen", "Mugs"), 9, ("Mug", "Coffee Mug", "Tea Cup"), ("머그컵", "머그잔"),
        _ALL, ("ceramic", "glass", "steel"), _CLOTH, _HOME, (6, 30),
    ),
    "lamp": Leaf(
        ("Home", "Lighting", "Table Lamps"), 7, ("Table Lamp", "Desk Lamp", "Bedside Lamp"), ("스탠드 조명", "무드등"),
        _ALL, ("linen", "paper", "glass"), ("plain", "striped", "dotted"), _HOME, (20, 130),
    ),
    "chair": Leaf(
        ("Home", "Furniture", "Chairs"), 7, ("Chair", "Dining Chair", "Side Chair"), ("의자", "식탁의자"),
        _ALL, ("wood", "steel", "plastic"), ("plain", "striped", "checked"), _HOME, (40, 260),
    ),
    "juice": Leaf(
        ("Food", "Beverages", "Juice"), 7, ("Juice", "Fruit Juice", "100% Juice"), ("주스", "과일주스"),
        (), (), (), _DRINK, (2, 9),
        (("orange", "orange"), ("apple", "green"), ("grape", "purple"), ("strawberry", "red"), ("lemon", "yellow")),
        "flavor",
    ),
    "wine": Leaf(
        ("Food", "Beverages", "Wine & Spirits"), 7, ("Bottle 750ml", "750 ml", "Gift Bottle"), ("주류", "선물용"),
        (), (), (), _CELLAR, (9, 190),
        (("red wine", "red"), ("white wine", "yellow"), ("whisky", "brown"), ("gin", "blue"), ("rum", "black")),
        "type", True,
    ),
    "knife": Leaf(
        ("Tools", "Knives"), 5, ("Kitchen Knife", "Chef Knife", "Utility Knife"), ("칼", "식도"),
        ("brown", "black", "red", "blue", "green", "yellow", "beige", "white"),
        ("wood", "plastic", "micarta"), (), _BLADE, (12, 180), (), "", True,
    ),
}  # fmt: skip

MATERIAL_KOREAN: dict[str, str] = {
    "cotton": "면",
    "linen": "린넨",
    "leather": "가죽",
    "canvas": "캔버스",
    "ceramic": "도자기",
    "wood": "원목",
    "steel": "스틸",
    "glass": "유리",
}
BRAND_INKS: tuple[Color, ...] = (
    (22, 22, 26),
    (178, 28, 40),
    (24, 60, 130),
    (20, 100, 72),
    (148, 96, 20),
    (96, 34, 110),
)
MODELS = (
    "Nova", "Aria", "Terra", "Luna", "Atlas", "Pico", "Echo", "Orbit", "Willow", "Jade", "Comet", "Maple", "River",
    "Sol", "Ember", "Cloud", "Zephyr", "Coral", "Basil", "Haru", "Dami", "Miro",
)  # fmt: skip
SELLER_NAMES = (
    "Happy Mall", "Seoul Mart", "K-Style", "Daily Pick", "Good Price", "Best Shop 24", "Moa Store", "Green Market",
    "Big Deal", "Hanbit", "Queen's Closet", "Top Goods", "Outlet One", "Nice Living", "Blue Door", "Star Trade",
)  # fmt: skip
PREFIXES = ("★무료배송★", "[당일발송]", "[Official]", "BEST SELLER!!", "🔥HOT DEAL🔥", "NEW 2026", "[정품]", "(1+1)")
SUFFIXES = (
    "free shipping",
    "Best Price!!",
    "100% authentic",
    "(정품)",
    "| fast delivery",
    "SALE up to 50%",
    "특가",
    "♥",
)
DESCRIPTIONS = (
    "A {color} {noun} by {brand}, made for every day.",
    "{brand} {model}: {material} {noun} in {color}. Photos are of the actual item.",
    "New season {noun}. Please check the size table before you order.",
    "Our customers like this {color} {noun} for its {material} finish & fair price.",
    "{brand} 정품 {korean}입니다. 빠른 배송, 쉬운 교환.",
)
POLICY = "Returns within 14 days. Monitor colours may differ &amp; shipping takes 1-3 days."
