"""The stage ``group_products``: matching and clustering of a whole snapshot."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from threadpoolctl import threadpool_limits

from ecclip.catalog.group.evidence import CATALOG_ID
from ecclip.core import ConfigError, Counts, canonical_json, fingerprint, sha256_bytes, stage
from ecclip.formats.answers import Grouped, read_grouped, write_grouped
from ecclip.formats.bundle import TOWERS
from ecclip.formats.columns import IMAGE_ERROR, IMAGE_PHASH, IMAGE_SHA256
from ecclip.formats.snapshot import Snapshot
from ecclip.tasks.config import GroupProductsConfig
from ecclip.tasks.decision import NEVER_AUTO
from ecclip.tasks.matching.compared import Night, best_inside, carried, product_names
from ecclip.tasks.matching.matcher import Matcher
from ecclip.tasks.matching.products import cluster
from ecclip.tasks.matching.teaching import Shop, groups_of, teach
from ecclip.tasks.rows import Rows, load_rows

if TYPE_CHECKING:
    from ecclip.tasks.matching.text_matcher.matcher import TextMatcher

_TEXT_MATCHER = "text_matcher"  # folder beside the products
_COLUMNS = (
    "grouping_title",
    "description",
    "brand",
    "category",
    "attributes",
    "price",
    "currency",
    CATALOG_ID,
    IMAGE_SHA256,
    IMAGE_PHASH,
    IMAGE_ERROR,
)


@stage
def group_products(
    cfg: GroupProductsConfig,
    snapshot: Path,
    embedded: Path,
    previous: Path,
    output: Path,
    trained: Path | None = None,
) -> Counts:
    """Match all listings of a snapshot and write products.parquet and matches.parquet.

    Candidates are each listing's nearest by photo and title and by title alone, joined with the catalog's blocking
    keys. Two listings match if the pair model, which the shop's own catalog_ids teach, gives them the probability that
    keeps the wanted precision. Listings of one group of the snapshot are one product from the start.

    Where ``text_matcher.train_pairs`` asks for it, the text tower of ``trained`` is fine-tuned to read the texts of
    pairs that the pair model leaves undecided. It is used, and kept in ``text_matcher/``, where validation is better
    with it.

    ``previous`` are the products of the night before: two listings that have not changed since are not compared again,
    and keep what was decided as long as code and parameters are the same; products keep their ids. Memory holds the
    embeddings, the listings' words and the candidate pairs, never all pairs.

    ``products.parquet`` (listing_id, product_id, score, compared): score is the listing's best match inside its
    product, null where it has none; compared is a digest of what it was compared by. ``matches.parquet`` is (left,
    right, score), left < right.

    Raises:
        ConfigError: a text matcher is asked for, and there are no trained towers.
        ContractError: the embeddings are not those of the snapshot.
        IntegrityError: the products of the night before cannot be read.
    """
    rows = load_rows(snapshot, embedded, _COLUMNS)
    compared = _compared_rows(rows)
    texts = _text_matcher(cfg, rows, compared, trained, previous) if cfg.text_matcher.train_pairs else None
    with threadpool_limits(limits=1):  # sums in one order: equal bytes whatever the machine's thread settings
        return _group(cfg, snapshot, rows, compared, texts, previous, output)


def _group(
    cfg: GroupProductsConfig,
    snapshot: Path,
    rows: Rows,
    compared: list[dict[str, Any]],
    texts: TextMatcher | None,
    previous: Path,
    output: Path,
) -> Counts:
    night = Night(rows.listing_ids.tolist(), _digests(rows))
    before, rules = read_grouped(previous), _rules(cfg)
    kept = carried(night, before if before.rules == rules else Grouped.nothing())
    shop = Shop(_numbered(rows.given[CATALOG_ID]), _found_without_ids(snapshot, rows), rows.split)
    matcher = Matcher(rows, compared, kept.fresh, shop.catalog >= 0, cfg)
    lessons, places = matcher.lessons()
    taught = teach(matcher.evidence(places), lessons, shop, cfg.matching, texts)
    threshold = taught.threshold if cfg.min_probability is None else cfg.min_probability
    known = rows.groups if cfg.keep_known_groups else np.arange(len(rows.listing_ids))
    asked, places = matcher.asked(known)
    scores, read = taught.scores(matcher.evidence(places), asked)
    matched = scores >= (threshold if taught.model else NEVER_AUTO)
    left, right, found = kept.joined(asked[0][matched], asked[1][matched], scores[matched])
    products = cluster(left, right, found, known, cfg.matching.max_product_size)
    names = product_names(night.ids, products, before.products)
    write_grouped(
        Grouped(
            products=dict(zip(night.ids, names, strict=True)),
            compared=dict(zip(night.ids, night.digests, strict=True)),
            left=[night.ids[row] for row in left],
            right=[night.ids[row] for row in right],
            scores=found,
            rules=rules,
        ),
        best_inside(products, left, right, found),
        output,
    )
    if taught.refined is not None:
        taught.refined.matcher.save(output / _TEXT_MATCHER)
    sizes = np.bincount(products)
    return Counts(
        read={"listings": len(products), "changed": int(kept.fresh.sum()), "compared_pairs": len(asked[0])},
        written={"products": int((sizes > 0).sum()), "matches": len(left)},
        detail={
            "products_of_several": int((sizes > 1).sum()),
            "matches_in_known_groups": int((rows.groups[left] == rows.groups[right]).sum()),
            "matches_kept": kept.count,
            "threshold": round(float(threshold), 6),
            "threshold_found": bool(threshold < NEVER_AUTO),
            "train_pairs": taught.train_pairs,
            "validation_pairs": taught.validation_pairs,
            **({} if texts is None else {"text_matcher": taught.said_of_matcher(len(read))}),
        },
    )


def _text_matcher(
    cfg: GroupProductsConfig,
    rows: Rows,
    compared: list[dict[str, Any]],
    trained: Path | None,
    previous: Path,
) -> TextMatcher:
    """Return the text matcher of the night before, where there is one that serves longer, or one to be taught."""
    from ecclip.model import load_towers
    from ecclip.tasks.matching.text_matcher.matcher import TextMatcher, half_of

    if trained is None:
        raise ConfigError(
            "a text matcher needs the towers of the night",
            value=f"train_pairs {cfg.text_matcher.train_pairs}",
            next_step="run the stage by its name, or set group_products.text_matcher.train_pairs to 0",
        )
    halves = np.array([half_of(name or "") for name in rows.given[CATALOG_ID]], dtype=np.int64)
    found = TextMatcher(compared, halves, load_towers(trained / TOWERS), cfg.text_matcher)
    found.take_over(previous / _TEXT_MATCHER)
    return found


def _rules(cfg: GroupProductsConfig) -> str:
    reader = ["ecclip.tasks.matching.text_matcher.matcher"] if cfg.text_matcher.train_pairs else []
    code = fingerprint(Matcher, teach, *reader)
    return sha256_bytes(canonical_json([code, cfg.model_dump(mode="json")]).encode())


def _digests(rows: Rows) -> list[str]:
    """Return a digest of what each listing is compared by."""
    columns = [rows.given[name] for name in _COLUMNS]
    return [sha256_bytes(canonical_json([*map(_plain, values)]).encode())[:32] for values in zip(*columns, strict=True)]


def _plain(value: Any) -> Any:
    return (
        sorted(map(list, value))
        if isinstance(value, list) and value and isinstance(value[0], tuple)
        else (value if value is None or isinstance(value, str | list) else str(value))
    )


def _compared_rows(rows: Rows) -> list[dict[str, Any]]:
    """Return what listings are compared by; a photo that cannot be used has no hash."""
    given = rows.given
    hashes = [None if error else phash for phash, error in zip(given[IMAGE_PHASH], given[IMAGE_ERROR], strict=True)]
    names = ("description", "brand", "category", "attributes", "price", "currency")
    columns = {"title": given["grouping_title"], "phash": hashes, **{name: given[name] for name in names}}
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _found_without_ids(snapshot: Path, rows: Rows) -> np.ndarray:
    """Return the number of the group of each listing [N] that the catalog's evidence makes without catalog_ids."""
    edges = Snapshot(snapshot).edges()
    place = {listing: row for row, listing in enumerate(rows.listing_ids.tolist())}
    ends = [
        (place[left], place[right])
        for left, right, evidence in zip(
            *(edges[name].to_pylist() for name in ("left", "right", "evidence")), strict=True
        )
        if evidence != CATALOG_ID and left in place and right in place
    ]
    left, right = np.array(ends, dtype=np.int64).reshape(-1, 2).T
    return groups_of(left, right, len(rows.listing_ids))


def _numbered(values: list[str | None]) -> np.ndarray:
    """Return the number of each value [N], equal ones alike; -1 for None."""
    places: dict[str, int] = {}
    return np.array([places.setdefault(value, len(places)) if value else -1 for value in values], dtype=np.int64)
