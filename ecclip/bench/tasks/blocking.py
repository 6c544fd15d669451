"""Blocking on WDC Block (small): each offer of table A asks for its k nearest of table B."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ecclip.bench.result import OURS
from ecclip.bench.tasks.cells import CHEAP, FROZEN, Cell, Measured, Part, side_by_side
from ecclip.bench.tasks.offers import Offers, nearest_rows, read_offers
from ecclip.bench.tasks.pair_sets import TEST, read_table, wdc_offer
from ecclip.tasks.matching.candidates import joined
from ecclip.tasks.matching.evidence import Evidence
from ecclip.tasks.matching.pair_model import fit_pair_model
from ecclip.tasks.matching.teaching import groups_of

TASK, SET, MODALITY = "blocking", "wdc_block_small", "text"
_K = 14  # neighbours of an offer in the published protocol of SC-Block: 70,000 pairs
_RECALL = f"recall at {_K}"
# of validation matches, with models that train alone teaches: 0.823 by labelled pairs alone, 0.858 by both models, and
# 0.864 with the characters at this weight, of 1.5, 3 and 5
_CHARACTERS = 1.5
_MOST_TAUGHT = 60_000  # candidates that teach; bounds the time
_SURE = 1e-6  # probability at which log odds end
_WIDE = 60  # candidates of an offer that the pair model ranks, by titles, words and characters each; by judgment


@dataclass(frozen=True)
class Tables:
    """Both tables in one: rows of table B follow those of table A.

    Attributes:
        offers: as the systems see them.
        first: rows of table A.
        own: which pairs are two copies of one offer: code ``a * len(offers) + b``.
        matches: rows [M, 2] of all pairs of one product, copies left out.
        labelled: rows [L, 2] of the labelled pairs.
        labels: theirs [L].
        split: theirs [L].
        products: product of every row; distractors are alone.
    """

    offers: Offers
    first: int
    own: np.ndarray
    matches: np.ndarray
    labelled: np.ndarray
    labels: np.ndarray
    split: np.ndarray
    products: np.ndarray


def measure_blocking(data: Path, work: Path, cell: Cell) -> Mapping[str, Measured]:
    """Return the share of matches among the k nearest: of test positives as published, and by two fairer countings."""
    tables = _tables(data, work)
    ranked = _SYSTEMS[cell.system](tables)
    size = len(tables.products)
    test = tables.labelled[(tables.split == TEST) & (tables.labels == 1)]
    others = ranked[:, ~np.isin(_codes(ranked[0], ranked[1], size), tables.own)]
    codes = [_first(part, _K, size) for part in (ranked, others)]
    asked = {
        _RECALL: (test, codes[0]),
        f"{_RECALL} without an offer's own copies": (test, codes[1]),
        f"{_RECALL} of all matches, without own copies": (tables.matches, codes[1]),
    }
    return {
        name: Measured(
            np.isin(_codes(wanted[:, 0], wanted[:, 1], size), found) * 1.0,
            np.ones(len(wanted)),
            tables.products[wanted[:, 0]],
        )
        for name, (wanted, found) in asked.items()
    }


def _tables(data: Path, work: Path) -> Tables:
    folder = data / SET
    rows = [sorted(read_table(folder, f"table_{name}"), key=lambda row: row["id"]) for name in "ab"]
    first = len(rows[0])
    every = [*rows[0], *rows[1]]
    table = np.repeat([0, 1], [first, len(rows[1])])
    matches = read_table(folder, "matches")
    labelled = read_table(folder, "pairs")
    offers = read_offers(SET, [wdc_offer(row) for row in every], table, work)
    held_out = {_unordered(row, rows) for row in labelled if row["split"] == TEST}
    labelled = [row for row in labelled if row["split"] == TEST or _unordered(row, rows) not in held_out]
    copies = _rows([row for row in matches if row["same_offer"]], first)
    names = [str(row["cluster_id"] or f"alone {place}") for place, row in enumerate(every)]
    return Tables(
        offers=offers,
        first=first,
        own=_codes(copies[:, 0], copies[:, 1], len(every)),
        matches=_rows([row for row in matches if not row["same_offer"]], first),
        labelled=_rows(labelled, first),
        labels=np.array([int(row["label"]) for row in labelled]),
        split=np.array([row["split"] for row in labelled]),
        products=np.unique(names, return_inverse=True)[1],
    )


def _rows(pairs: Sequence[Mapping[str, int]], first: int) -> np.ndarray:
    return np.array([(row["a_id"], first + row["b_id"]) for row in pairs], dtype=np.int64).reshape(-1, 2)


def _unordered(pair: Mapping[str, int], rows: list[list[dict[str, str]]]) -> frozenset[str]:
    """Return the two offers of a labelled pair: some test pairs are train pairs in the other order."""
    return frozenset((str(rows[0][pair["a_id"]]["offer_id"]), str(rows[1][pair["b_id"]]["offer_id"])))


def _codes(left: np.ndarray, right: np.ndarray, size: int) -> np.ndarray:
    return left * size + right


def _first(ranked: np.ndarray, k: int, size: int) -> np.ndarray:
    """Return the codes of the first ``k`` of each asking row; ``ranked`` [2, R] is ordered by row, best first."""
    asking = ranked[0]
    starts = np.flatnonzero(np.append(True, asking[1:] != asking[:-1]))
    rank = np.arange(len(asking)) - np.repeat(starts, np.diff(np.append(starts, len(asking))))
    return _codes(ranked[0, rank < k], ranked[1, rank < k], size)


def _ranked(left: np.ndarray, right: np.ndarray, scores: np.ndarray) -> np.ndarray:
    order = np.lexsort((right, -scores, left))
    return np.stack([left[order], right[order]])


def _by_similarity(tables: Tables, place: int) -> np.ndarray:
    """Rank by the similarity at a place of ``Offers.similarities``."""
    left, right = _wide(tables)
    similarity = [*tables.offers.similarities()][place]
    return _ranked(left, right, similarity[left, right - tables.first])


def _by_pair_models(tables: Tables) -> np.ndarray:
    """Rank the wide candidates by two pair models and by how alike the titles' characters are.

    The labelled pairs outside of test teach one model, and what they say together of candidates the other: pairs that
    nobody labelled because they are easy are among those.
    """
    left, right = _wide(tables)
    taught = tables.split != TEST
    pairs, count = tables.labelled[taught], len(left)
    evidence = tables.offers.evidence(np.append(left, pairs[:, 0]), np.append(right, pairs[:, 1]))
    candidates = evidence.part(np.arange(count))
    places, labels, products = _known_candidates(tables, left, right)
    lessons = (
        (evidence.part(np.arange(count, count + len(pairs))), tables.labels[taught], tables.products[pairs[:, 0]]),
        (candidates.part(places), labels, products),
    )
    opinions = [_log_odds(known, truth, groups, candidates) for known, truth, groups in lessons]
    characters = [*tables.offers.similarities()][2][left, right - tables.first]
    return _ranked(left, right, np.mean(opinions, axis=0) + _CHARACTERS * characters)


def _log_odds(taught: Evidence, labels: np.ndarray, products: np.ndarray, asked: Evidence) -> np.ndarray:
    """Return the log odds [M] of the pairs ``asked`` by a model that other pairs have taught."""
    model = fit_pair_model(taught, labels, products)
    assert model is not None  # there are thousands of either label
    scores = np.clip(model.scores(asked).astype(np.float64), _SURE, 1 - _SURE)
    found: np.ndarray = np.log(scores / (1 - scores))
    return found


def _known_candidates(tables: Tables, left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the candidates that labels outside of test decide: places [K], 1 for one product, the product of one [K].

    Matches tie offers together, directly or through others; two offers that labelled pairs name and matches do not tie
    are two products. A test pair is never among them, in neither order and as no copy.
    """
    size = len(tables.products)
    offer = np.arange(size)
    offer[tables.own % size] = tables.own // size
    taught = tables.split != TEST
    one, other = offer[tables.labelled[taught & (tables.labels == 1)]].T
    product = groups_of(one, other, size)
    named = np.isin(np.arange(size), offer[tables.labelled[taught]])
    ends, held_out = (np.sort(part, axis=0) for part in (offer[np.stack([left, right])], _test_offers(tables, offer)))
    usable = named[ends].all(axis=0) & (ends[0] != ends[1])
    usable &= ~np.isin(_codes(ends[0], ends[1], size), _codes(held_out[0], held_out[1], size))
    places = np.flatnonzero(usable)
    places = np.sort(np.random.default_rng(0).permutation(places)[:_MOST_TAUGHT])
    one, other = product[ends[:, places]]
    return places, (one == other) * 1, one


def _test_offers(tables: Tables, offer: np.ndarray) -> np.ndarray:
    found: np.ndarray = offer[tables.labelled[tables.split == TEST]].T
    return found


def _wide(tables: Tables) -> tuple[np.ndarray, np.ndarray]:
    """Return the pairs (row of table A, row of table B) that are ranked, in order."""
    asking, asked = tables.offers.sides()
    ways = (nearest_rows(similarity, asking, asked, _WIDE) for similarity in tables.offers.similarities())
    return joined(ways, len(tables.products))  # rows of table B follow those of table A: the smaller row is A's


_SYSTEMS: dict[str, Callable[[Tables], np.ndarray]] = {
    CHEAP: lambda tables: _by_similarity(tables, 1),
    FROZEN: lambda tables: _by_similarity(tables, 0),
    OURS: _by_pair_models,
}
PART = Part(
    side_by_side(measure_blocking, [SET], TASK, MODALITY),
    headline={"blocking_recall": (SET, TASK, MODALITY, _RECALL)},
    published={(SET, TASK, MODALITY, _RECALL): ("SC-Block, its page (cited)", 0.935, 500)},
)
