"""The marketplace: products, sellers, listings, and how listings come, change and go from night to night."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from functools import cached_property
from random import Random

from ecclip.sample.appearance import Appearance
from ecclip.sample.config import SampleConfig
from ecclip.sample.words import COLORS, LEAVES, MODELS, PREFIXES, SELLER_NAMES, SUFFIXES

MANY = 400  # from this many listings on, every configured fault occurs at least once
WON = 1350  # per dollar; prices in the two currencies then compare


@dataclass(frozen=True)
class Product:
    """One product; its number is its identity and seeds everything about it."""

    number: int
    appearance: Appearance
    price: float
    in_catalog: bool

    @property
    def id(self) -> str:
        """The true product id, known to tests only."""
        return f"P{self.number:06d}"


@dataclass(frozen=True)
class Seller:
    """One seller with habits: how titles are written, how photos are taken and stored."""

    number: int
    name: str
    prefix: str
    suffix: str
    promotes: float
    korean: float
    html: bool
    order: str
    margin: float
    currency: str
    suffix_of_photos: str
    quality: int
    watermark: bool
    badge: bool
    scene: str

    @property
    def id(self) -> str:
        """The seller id of the dump."""
        return f"S{self.number:03d}"


@dataclass(frozen=True)
class Listing:
    """One product as one seller offers it; the versions count changes of price, title and photo."""

    number: int
    product: int
    seller: int
    own_photo: bool
    faults: tuple[str, ...]
    updated_at: str
    price_version: int = 0
    title_version: int = 0
    photo_version: int = 0
    change: str = "new"

    @property
    def id(self) -> str:
        """The listing id of the dump."""
        return f"L{self.number:07d}"


class World:
    """Products and sellers without end: each is a pure function of the seed and its number."""

    def __init__(self, cfg: SampleConfig) -> None:
        self.cfg = cfg
        self._products: dict[int, Product] = {}

    def rng(self, *names: object) -> Random:
        """Return the generator of one decision; the same names give the same numbers in every process."""
        return Random("/".join(str(name) for name in (self.cfg.seed, *names)))

    @cached_property
    def sellers(self) -> list[Seller]:
        """All sellers."""
        return [self._seller(number) for number in range(self.cfg.sellers)]

    def _seller(self, number: int) -> Seller:
        rng = self.rng("seller", number)
        name = SELLER_NAMES[number % len(SELLER_NAMES)]
        return Seller(
            number=number,
            name=name if number < len(SELLER_NAMES) else f"{name} {number // len(SELLER_NAMES) + 1}",
            prefix=rng.choice(PREFIXES),
            suffix=rng.choice(SUFFIXES),
            promotes=rng.choice((0.0, 0.1, 0.3, 0.7)),
            korean=rng.choice((0.0, 0.0, 0.1, 0.25, 0.6)),
            html=rng.random() < 0.4,
            order=rng.choice(("brand", "brand", "color", "noun")),
            margin=rng.uniform(0.88, 1.2),
            currency="USD" if rng.random() < 0.25 else "KRW",
            suffix_of_photos={3: "png", 7: "webp"}.get(number, "jpg"),
            quality=rng.choice((62, 70, 78, 85, 90)),
            watermark=rng.random() < 0.25,
            badge=rng.random() < 0.12,
            scene=rng.choice(("studio", "studio", "pastel", "room", "table", "stone", "spotlight")),
        )

    def product(self, number: int) -> Product:
        """Return the product with this number."""
        if number not in self._products:
            self._products[number] = self._product(number)
        return self._products[number]

    def _product(self, number: int) -> Product:
        rng = self.rng("product", number)
        names = list(LEAVES)
        leaf_name = rng.choices(names, [LEAVES[name].weight for name in names])[0]
        leaf = LEAVES[leaf_name]
        kind, color = rng.choice(leaf.kinds) if leaf.kinds else ("", rng.choice(leaf.colors))
        pattern = rng.choices(leaf.patterns, [3, *[1] * (len(leaf.patterns) - 1)])[0] if leaf.patterns else ""
        appearance = Appearance(
            key=f"{self.cfg.seed}/{number}",
            leaf=leaf_name,
            color=color,
            second=rng.choice([name for name in COLORS if _contrast(name, color) > 130]),
            pattern=pattern,
            material=rng.choice(leaf.materials) if leaf.materials else "",
            kind=kind,
            brand=rng.choice(leaf.brands),
            model=f"{rng.choice(MODELS)} {rng.randrange(100, 1000)}",
        )
        low, high = leaf.price
        return Product(number, appearance, round(low * (high / low) ** rng.random(), 2), rng.random() < 0.33)

    def listings(self, first: int, count: int, product: int, night: str) -> list[Listing]:
        """Return ``count`` new listings of products from number ``product`` on, 1-4 sellers each."""
        found: list[Listing] = []
        while len(found) < count:
            rng = self.rng("offers", product)
            offers = min(rng.choices((1, 2, 3, 4), (42, 28, 18, 12))[0], count - len(found))
            for seller in rng.sample(range(self.cfg.sellers), offers):
                found.append(self._listing(first + len(found), product, seller, night))
            product += 1
        return self._spoiled(found, night)

    def _listing(self, number: int, product: int, seller: int, night: str) -> Listing:
        rng = self.rng("listing", number)
        days = rng.uniform(0, 40 if night == self.cfg.first_night else 1)
        return Listing(number, product, seller, rng.random() < 0.45, (), _moment(night, days))

    def _spoiled(self, listings: list[Listing], night: str) -> list[Listing]:
        """Plant the configured share of every fault, at most one of them a listing and a typo on top."""
        rng = self.rng("faults", night, listings[0].number if listings else 0)
        places = rng.sample(range(len(listings)), len(listings))
        planted: dict[int, tuple[str, ...]] = {}
        for fault, share in self.cfg.faults.model_dump().items():
            if fault == "typo":
                continue
            expected = share * len(listings)
            least = 1 if share > 0 and len(listings) >= MANY else 0
            for _ in range(max(least, int(expected + rng.random()))):
                if places:
                    planted[places.pop()] = (fault,)
        return [
            replace(listing, faults=planted.get(place, ()) + (("typo",) if rng.random() < self.cfg.faults.typo else ()))
            for place, listing in enumerate(listings)
        ]

    def after(self, listings: list[Listing], night: str) -> list[Listing]:
        """Return the listings of the next night: some gone, some deleted (seen once more), changed and new ones."""
        rng = self.rng("night", night)
        kept: list[Listing] = []
        alive = [listing for listing in listings if listing.change != "deleted"]
        for listing in alive:
            dice = rng.random()
            if dice < self.cfg.deleted_share:
                if dice < self.cfg.deleted_share / 2:
                    kept.append(replace(listing, change="deleted", updated_at=_moment(night, rng.random())))
            elif dice < self.cfg.deleted_share + self.cfg.changed_share:
                field = rng.choice(("price", "title", "photo"))
                version = {f"{field}_version": getattr(listing, f"{field}_version") + 1}
                kept.append(replace(listing, change=field, updated_at=_moment(night, rng.random()), **version))
            else:
                kept.append(replace(listing, change=""))
        number = max(listing.number for listing in listings) + 1
        fresh = round(self.cfg.new_share * len(alive))
        joining = min(fresh, fresh * 2 // 5)
        known = sorted({listing.product for listing in alive})
        joined = [
            self._listing(number + index, rng.choice(known), rng.randrange(self.cfg.sellers), night)
            for index in range(joining)
        ]
        unseen = self.listings(
            number + joining, fresh - joining, max(listing.product for listing in listings) + 1, night
        )
        return [*kept, *self._spoiled(joined, night), *unseen]

    def nights(self) -> list[str]:
        """Return the dates of the configured nights."""
        start = date.fromisoformat(self.cfg.first_night)
        return [(start + timedelta(days=index)).isoformat() for index in range(self.cfg.nights)]


def _contrast(left: str, right: str) -> float:
    return sum(abs(a - b) for a, b in zip(COLORS[left], COLORS[right], strict=True))


def _moment(night: str, days_before: float) -> str:
    """Return an ISO time some days before the night's end, to the second, never from the clock."""
    moment = datetime.fromisoformat(night) + timedelta(hours=23) - timedelta(seconds=round(days_before * 82_000))
    return moment.isoformat() + "+00:00"
