"""The slow twin of grouping: plain Python over every pair, for small dumps."""

from __future__ import annotations

import hashlib
import itertools
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from ecclip.catalog.group.description import SCALE, Describer, Description
from ecclip.catalog.group.fellegi_sunter import agree
from ecclip.catalog.group.stage import GroupConfig
from ecclip.catalog.group.term_statistics import TermStatistics, count_terms

Row = dict[str, Any]
Edge = tuple[str, str, str, float]
KINDS = ["same_facts", "near_title", "near_photo_and_title", "same_photo", "same_code", "same_photo_and_title"]


def plain_rows(listings: Iterable[Mapping[str, Any]]) -> list[Row]:
    """Return what grouping looks at of cleaned listings, by listing_id."""
    rows = []
    for one in sorted(listings, key=lambda one: str(one["listing_id"])):
        good = one["image_error"] is None
        rows.append(
            {
                "id": one["listing_id"],
                "plain": re.sub(r"[\W_]+", " ", one["grouping_title"].lower()).strip(),
                "brand": one["brand"].lower() if one["brand"] else one["brand"],
                "category": "/".join(one["category"]) if one["category"] else None,
                "attributes": list(dict(one["attributes"]).items()) if one["attributes"] else None,
                "price": one["price"],
                "currency": one["currency"],
                "catalog_id": one["catalog_id"],
                "photo": one["image_sha256"] if good else None,
                "phash": int(one["image_phash"], 16) if good and one["image_phash"] else None,
            }
        )
    return rows


class Twin:
    """Groups one night; ``before`` is the night before, whose evidence between unchanged listings is kept."""

    def __init__(self, cfg: GroupConfig, listings: Iterable[Mapping[str, Any]], before: Twin | None = None) -> None:
        self.cfg = cfg
        self.rows = {row["id"]: row for row in plain_rows(listings)}
        seen = Counter(word for row in self.rows.values() for word in set(row["plain"].split(" ")))
        self.terms = count_terms(len(self.rows), {w: c for w, c in seen.items() if c > 1}, self.rows.values())
        describer = Describer(self.terms)
        self.described = {name: describer.describe(row) for name, row in self.rows.items()}
        same = {} if before is None else {n for n, row in self.rows.items() if before.rows.get(n) == row}
        known = [] if before is None else [e for e in before.near if e[0] in same and e[1] in same]
        self.near = known + [e for e in self._judged() if e[0] not in same or e[1] not in same]
        self.edges = sorted([*self._exact(), *self.near])
        self.marks = self._ambiguous()
        self.parts = self._parts()
        for edge in self.edges:
            if edge not in self.marks and self.parts[edge[0]] != self.parts[edge[1]]:
                self.marks[edge] = "cut"
        self.groups = self._ids({} if before is None else before.groups)

    def _exact(self) -> Iterable[Edge]:
        for kind, keys, weight in (("catalog_id", ["catalog_id"], 1.0), (KINDS[-1], ["photo", "plain"], 6 / 7)):
            stars = defaultdict(list)
            for name, row in self.rows.items():
                if all(row[key] for key in keys):
                    stars[tuple(row[key] for key in keys)].append(name)
            for names in stars.values():
                if kind != "catalog_id" or len(names) <= self.cfg.catalog_id.max_listings:
                    yield from ((min(names), name, kind, round(weight, 6)) for name in names if name != min(names))

    def _judged(self) -> Iterable[Edge]:
        for (left, right), coded in sorted(self._pairs().items()):
            found = self._evidence(left, right, coded)
            if found is not None:
                kind, similarity = found
                yield left, right, kind, round((KINDS.index(kind) + similarity) / 7, 6)

    def _pairs(self) -> dict[tuple[str, str], bool]:
        buckets = defaultdict(set)
        for name, one in self.described.items():
            for kind in ("codes", "keys", "loose_keys"):
                for key in getattr(one, kind):
                    buckets[kind, key].add(name)
        pairs: dict[tuple[str, str], bool] = {}
        for (kind, _), names in buckets.items():
            if len(names) <= (self.cfg.same_code.max_listings if kind == "codes" else self.cfg.max_block_size):
                for pair in itertools.combinations(sorted(names), 2):
                    if kind != "loose_keys" or any(not self.described[name].numbers for name in pair):
                        pairs[pair] = pairs.get(pair, False) or kind == "codes"
        return pairs

    def _evidence(self, left: str, right: str, coded: bool) -> tuple[str, float] | None:
        cfg, (a, b) = self.cfg, (self.rows[left], self.rows[right])
        one, two = self.described[left], self.described[right]
        ratio = _ratio(a, b)
        models = set(one.numbers[:1]) <= set(two.numbers) or set(two.numbers[:1]) <= set(one.numbers)
        facts = [dict(fact.split("\x1f", 1) for fact in side.fact_texts) for side in (one, two)]
        differ = any(facts[1].get(name, value) != value for name, value in facts[0].items() if name != "category")
        if not models or differ or (ratio or 1) > cfg.contradiction.max_price_ratio:
            return None
        shared, similarity = self._similarity(a, b)
        if (
            a["category"]
            and b["category"]
            and a["category"] != b["category"]
            and similarity < cfg.contradiction.min_title_similarity
        ):
            return None
        distance = None if a["phash"] is None or b["phash"] is None else (a["phash"] ^ b["phash"]).bit_count()
        if coded and similarity >= cfg.same_code.min_title_similarity:
            return "same_code", similarity
        if distance == 0 and similarity >= cfg.same_photo.min_title_similarity:
            return "same_photo", similarity
        near = (
            distance is not None
            and distance <= cfg.near_photo.max_distance
            and similarity >= cfg.near_photo.min_title_similarity
        )
        if near and ratio is not None and ratio <= cfg.near_photo.max_price_ratio:
            return "near_photo_and_title", similarity
        unpriced = a["price"] is None or b["price"] is None
        cheap = unpriced or (ratio is not None and ratio <= cfg.near_photo.max_price_ratio)
        told = cheap and shared >= 2 * SCALE * math.log(len(self.rows) / cfg.chance)
        if (
            similarity >= cfg.near_title.min_similarity
            and bool(one.numbers) == bool(two.numbers)
            and (one.numbers or told)
        ):
            return "near_title", similarity
        if not (one.numbers and two.numbers) and self._agree(a, b, one, two, distance):
            return "same_facts", similarity
        return None

    def _agree(self, a: Row, b: Row, one: Description, two: Description, distance: int | None) -> bool:
        sides = {
            f"{side}_{key}": row[key] for side, row in (("left", a), ("right", b)) for key in ("price", "currency")
        }
        return agree(
            self.cfg,
            self.terms,
            {**sides, "left_fact_texts": one.fact_texts, "right_fact_texts": two.fact_texts, "distance": distance},
        )

    def _similarity(self, a: Row, b: Row) -> tuple[int, float]:
        left, right = ({self.terms.corrected(word) for word in row["plain"].split()} for row in (a, b))
        shared, either = (sum(_weight(self.terms, word) for word in some) for some in (left & right, left | right))
        return shared, shared / either if either else 0.0

    def _ambiguous(self) -> dict[Edge, str]:
        likeness = [edge for edge in self.edges if edge[2] in ("near_title", "same_facts")]
        unclear = set()
        for name, one in self.described.items():
            if not one.numbers:
                others = {edge[1] if edge[0] == name else edge[0] for edge in likeness if name in edge[:2]}
                models = [set(self.described[other].numbers) for other in others if self.described[other].numbers]
                if models and not set.intersection(*models):
                    unclear.add(name)
        return {edge: "ambiguous" for edge in likeness if unclear & set(edge[:2])}

    def _parts(self) -> dict[str, str]:
        used = [edge for edge in self.edges if edge not in self.marks]
        whole = _joined(self.rows, used, math.inf)
        sizes = Counter(whole.values())
        large = [edge for edge in used if sizes[whole[edge[0]]] > self.cfg.max_group_size]
        return whole | {
            name: part
            for name, part in _joined(self.rows, large, self.cfg.max_group_size).items()
            if sizes[whole[name]] > self.cfg.max_group_size
        }

    def _ids(self, before: dict[str, str]) -> dict[str, str]:
        members = defaultdict(list)
        for name, part in self.parts.items():
            members[part].append(name)
        holders = {}
        for old in set(before.values()):
            here = [name for name, group in before.items() if group == old and name in self.parts]
            if here:
                holders.setdefault(self.parts[min(here)], []).append(old)
        ids = {}
        for part in members:
            fresh = (_new(part if attempt == 0 else f"{part}#{attempt}") for attempt in range(8))
            ids[part] = min(holders.get(part, ()), default=None) or next(i for i in fresh if i not in before.values())
        return {name: ids[part] for name, part in self.parts.items()}


def _joined(names: Iterable[str], edges: list[Edge], cap: float) -> dict[str, str]:
    part = {name: {name} for name in names}
    for left, right, kind, _ in sorted(edges, key=lambda e: (e[2] != "catalog_id", -e[3], e[0], e[1])):
        both = part[left] | part[right]
        if kind == "catalog_id" or len(both) <= cap or part[left] is part[right]:
            part |= dict.fromkeys(both, both)
    return {name: min(whole) for name, whole in part.items()}


def _weight(terms: TermStatistics, word: str) -> int:
    seen = terms.document_frequency.get(word, 1)
    return round((math.log(2) if seen == 1 else math.log(terms.listings / seen)) * SCALE)


def _ratio(a: Row, b: Row) -> float | None:
    if a["currency"] is None or a["currency"] != b["currency"] or not a["price"] or not b["price"]:
        return None
    return max(a["price"], b["price"]) / min(a["price"], b["price"])


def _new(seed: str) -> str:
    return "g" + hashlib.sha256(seed.encode()).hexdigest()[:16]
