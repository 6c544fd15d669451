"""Listings as arrays to compare pairs by: the catalog's words, model numbers and facts, and the texts around them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import TfidfVectorizer

from ecclip.catalog.group.description import SCALE, WEIGHT_BITS, Describer, Description
from ecclip.catalog.group.term_statistics import TermStatistics, count_terms

COLUMNS = ("title", "description", "brand", "category", "attributes", "price", "currency", "phash")
_SAMPLE = 30_000  # listings that facts are counted over, as in the stage group
_GRAMS = (3, 5)  # characters of an n-gram of a title, by judgment
_PHOTO_BITS = (1 << 64) - 1  # of a perceptual hash


@dataclass(frozen=True)
class Described:
    """N listings as pairs are compared by them.

    Attributes:
        words: square roots of the weights of a title's words, float32 [N, V]: the product of two rows is what the
            words that they share weigh (see ``TermStatistics.weight``).
        texts: tf-idf of the words of title and description, float32 [N, W], rows of length 1.
        characters: tf-idf of the n-grams of a title's characters, float32 [N, C], rows of length 1.
        numbers: ones for words that may name the model, float32 [N, K].
        facts: ones for facts (name and value), float32 [N, F].
        named: ones for the names of those facts, float32 [N, G].
        brands: number of the brand [N], -1 without one.
        prices: in the unit of ``currencies`` [N], NaN without one.
        currencies: number of the currency [N], -1 without one.
        photos: perceptual hash of the photo, uint64 [N].
        has_photo: whether there is one, bool [N].
        keys: blocking keys by listing: listings that share one are candidates.
        loose_keys: likewise, where one of the two names no model.
        models: the words that may name the model, without spaces, by listing.
        spelled: title and brand without spaces, by listing: "ps lx350h" and "pslx350h" are one.
        brand_names: the brand without spaces, empty without one.
    """

    words: csr_matrix
    texts: csr_matrix
    characters: csr_matrix
    numbers: csr_matrix
    facts: csr_matrix
    named: csr_matrix
    brands: np.ndarray
    prices: np.ndarray
    currencies: np.ndarray
    photos: np.ndarray
    has_photo: np.ndarray
    keys: list[list[int]]
    loose_keys: list[list[int]]
    models: list[list[str]]
    spelled: list[str]
    brand_names: list[str]


def describe_listings(rows: Sequence[Mapping[str, Any]]) -> Described:
    """Return listings as pairs are compared by them; ``rows`` hold COLUMNS, and everything is counted over all rows.

    Words, model numbers and facts are those of the catalog's grouping, by the same code. Nothing here knows which
    listings are one product.
    """
    compared = [_comparable(row) for row in rows]
    terms = _terms(compared)
    describer = Describer(terms)
    found = [describer.describe(row) for row in compared]
    full = [f"{one['plain']} {_plain(row.get('description'))}" for one, row in zip(compared, rows, strict=True)]
    photos = [one["phash"] for one in compared]
    spelled = [one["plain"].replace(" ", "") for one in compared]
    brands = [_plain(row["brand"]).replace(" ", "") for row in rows]
    prices = [np.nan if row["price"] is None else float(row["price"]) for row in rows]
    return Described(
        words=_weighed(found),
        texts=_tfidf(full, analyzer="word", token_pattern=r"\S+"),
        characters=_tfidf([one["plain"] for one in compared], analyzer="char_wb", ngram_range=_GRAMS),
        numbers=_ones([one.numbers for one in found]),
        facts=_ones([one.facts for one in found]),
        named=_ones([one.named for one in found]),
        brands=_numbered([row["brand"] and row["brand"].lower() for row in rows]),
        prices=np.array(prices),
        currencies=_numbered([row["currency"] for row in rows]),
        photos=np.array([(photo or 0) & _PHOTO_BITS for photo in photos], dtype=np.uint64),
        has_photo=np.array([photo is not None for photo in photos], dtype=bool),
        keys=[[*one.codes, *one.keys] for one in found],
        loose_keys=[one.loose_keys for one in found],
        models=[[word for word in one["plain"].split() if terms.names_model(word)] for one in compared],
        spelled=spelled,
        brand_names=brands,
    )


def _plain(text: str | None) -> str:
    """Return the words of a text as grouping reads them: letters and digits in lower case, a space between words."""
    return re.sub(r"[\W_]+", " ", (text or "").lower()).strip()


def _comparable(row: Mapping[str, Any]) -> dict[str, Any]:
    phash = row["phash"]
    return {
        "plain": _plain(row["title"]),
        "brand": row["brand"].lower() if row["brand"] else None,
        "category": "/".join(row["category"]) if row["category"] else None,
        "attributes": [*dict(row["attributes"] or ()).items()],
        "phash": None if phash is None else int(phash, 16),
    }


def _terms(compared: Sequence[Mapping[str, Any]]) -> TermStatistics:
    seen = Counter(word for row in compared for word in set(row["plain"].split()))
    every = -(-len(compared) // _SAMPLE) or 1
    return count_terms(len(compared), {word: count for word, count in seen.items() if count > 1}, compared[::every])


def _weighed(found: Sequence[Description]) -> csr_matrix:
    mask = (1 << WEIGHT_BITS) - 1
    matrix = _ones([one.words for one in found])
    weights = np.array([word & mask for one in found for word in dict.fromkeys(one.words)], dtype=np.float64)
    weighed = csr_matrix((np.sqrt(weights / SCALE).astype(np.float32), matrix.indices, matrix.indptr), matrix.shape)
    weighed.sort_indices()  # scipy does so in place when it compares, and sums would come in another order from then on
    return weighed


def _ones(sets: Iterable[Iterable[int]]) -> csr_matrix:
    """Return float32 [N, values] with a one where a listing has a value."""
    places: dict[int, int] = {}
    columns, ends = [], [0]
    for values in sets:
        columns += [places.setdefault(value, len(places)) for value in dict.fromkeys(values)]
        ends.append(len(columns))
    ones = np.ones(len(columns), dtype=np.float32)
    return csr_matrix(
        (ones, np.array(columns, np.int32), np.array(ends, np.int32)), (len(ends) - 1, max(len(places), 1))
    )


def _tfidf(texts: Sequence[str], **options: Any) -> csr_matrix:
    if not any(texts):
        return csr_matrix((len(texts), 1), dtype=np.float32)
    return TfidfVectorizer(sublinear_tf=True, dtype=np.float32, **options).fit_transform(texts).tocsr()


def _numbered(values: Sequence[str | None]) -> np.ndarray:
    places: dict[str, int] = {}
    return np.array([places.setdefault(value, len(places)) if value else -1 for value in values], dtype=np.int64)
