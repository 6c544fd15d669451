"""The text matcher: learns from texts alone, is used for undecided pairs and where it pays, and serves some nights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from tiny_training import tiny_towers

from ecclip.core import ConfigError, IntegrityError
from ecclip.model import Towers, save_towers
from ecclip.tasks import GroupProductsConfig, group_products
from ecclip.tasks.config import MatchingConfig, TextMatcherConfig
from ecclip.tasks.decision import NEVER_AUTO
from ecclip.tasks.matching.evidence import Evidence
from ecclip.tasks.matching.teaching import Shop, Taught, teach
from ecclip.tasks.matching.text_matcher.matcher import TextMatcher, half_of

PAIRS, SURE = 500, 150  # and how many of them the evidence alone decides
READ = 80  # of the 100 validation pairs
CFG = TextMatcherConfig(train_pairs=400, read_pairs=READ, epochs=4, learning_rate=1e-2, max_tokens=24)
HELD_OUT = np.arange(PAIRS) % 5 == 4
SPLIT = np.repeat(np.where(HELD_OUT, "validation", "train"), 2)


@pytest.fixture(scope="module")
def towers() -> Towers:
    return tiny_towers()


class Market:
    """Pairs of two listings: of some the evidence says all, of the others nothing; the texts say all of all."""

    def __init__(self, seed: int = 0) -> None:
        chance = np.random.default_rng(seed)
        self.left, self.right = np.arange(0, 2 * PAIRS, 2), np.arange(1, 2 * PAIRS, 2)
        self.labels = chance.integers(0, 2, PAIRS)
        numbers = np.where(np.arange(PAIRS) < SURE, 2 * self.labels - 1, chance.normal(0, 0.1, PAIRS))[:, None]
        self.evidence = Evidence(numbers.astype(np.float32), csr_matrix((PAIRS, 1), dtype=np.float32))
        words = ("lamp", "mug", "bag", "chair", "table", "shirt")
        self.titles = [" ".join(chance.choice(words, 3)) for _ in range(2 * PAIRS)]

    def rows(self, labels: np.ndarray) -> list[dict[str, str | None]]:
        """Return the listings; both titles of a pair have a word that says its label."""
        said = np.repeat(np.where(labels == 1, "red red", "blue blue"), 2)
        return [
            {"title": f"{title} {word}", "brand": None, "description": None}
            for title, word in zip(self.titles, said, strict=True)
        ]

    def shop(self) -> Shop:
        """Return what is known of the listings: those of a pair share a catalog_id, or have two."""
        catalog = np.arange(2 * PAIRS)
        catalog[self.right[self.labels == 1]] = self.left[self.labels == 1]
        return Shop(catalog, np.arange(2 * PAIRS), SPLIT)

    def matcher(self, towers: Towers, said: np.ndarray | None = None, cfg: TextMatcherConfig = CFG) -> TextMatcher:
        """Return a matcher of these listings, whose texts say the labels, or something else."""
        halves = np.array([half_of(str(number)) for number in self.shop().catalog])
        return TextMatcher(self.rows(self.labels if said is None else said), halves, towers, cfg)

    def taught(self, matcher: TextMatcher | None) -> Taught:
        """Return the pair decision of this shop."""
        return teach(self.evidence, (self.left, self.right), self.shop(), MatchingConfig(), matcher)

    def held_out_scores(self, taught: Taught) -> tuple[np.ndarray, np.ndarray]:
        """Return the scores of the validation pairs, and which of them were read."""
        return taught.scores(self.evidence.part(HELD_OUT), (self.left[HELD_OUT], self.right[HELD_OUT]))


@pytest.fixture(scope="module")
def market() -> Market:
    return Market()


@pytest.fixture(scope="module")
def taught(market: Market, towers: Towers) -> Taught:
    return market.taught(market.matcher(towers))


def test_it_is_used_where_validation_is_better_and_only_for_the_least_decided_pairs(
    market: Market, taught: Taught
) -> None:
    assert taught.trial is not None
    assert taught.trial.log_losses[1] < 0.6 * taught.trial.log_losses[0]
    assert taught.refined is not None
    assert taught.threshold < NEVER_AUTO
    (scores, read), (alone, nothing) = (market.held_out_scores(one) for one in (taught, market.taught(None)))
    assert (len(read), len(nothing)) == (READ, 0)
    others, away = np.delete(np.arange(len(scores)), read), np.abs(alone - 0.5)
    assert away[read].max() <= away[others].min()
    assert np.array_equal(scores[others], alone[others])
    right = [((one > 0.5) == (market.labels[HELD_OUT] == 1))[read].mean() for one in (alone, scores)]
    assert right[0] < 0.8
    assert right[1] > 0.95


def test_it_is_not_used_where_texts_mislead_on_validation(market: Market, towers: Towers) -> None:
    found = market.taught(market.matcher(towers, said=np.where(HELD_OUT, 1 - market.labels, market.labels)))
    assert found.trial is not None
    assert found.refined is None
    scores, read = market.held_out_scores(found)
    assert len(read) == 0
    assert np.array_equal(scores, market.held_out_scores(market.taught(None))[0])


def test_what_it_says_of_a_labelled_pair_does_not_depend_on_that_label(market: Market, towers: Towers) -> None:
    cfg = CFG.model_copy(update={"epochs": 1})
    first, other = (market.matcher(towers, cfg=cfg) for _ in range(2))
    mine = np.array([half_of(str(number)) for number in market.shop().catalog])[market.left] == 0
    assert first.teach(market.left, market.right, market.labels)
    assert other.teach(market.left, market.right, np.where(mine, 1 - market.labels, market.labels))
    said = [one.held_out_log_odds(market.left, market.right) for one in (first, other)]
    assert np.array_equal(said[0][mine], said[1][mine])
    assert not np.array_equal(said[0][~mine], said[1][~mine])
    assert np.array_equal(first.log_odds(market.left, market.right), first.log_odds(market.right, market.left))


def test_it_is_reproducible_and_serves_the_nights_after(market: Market, towers: Towers, tmp_path: Path) -> None:
    cfg = CFG.model_copy(update={"epochs": 1, "keep_nights": 2})
    pairs = market.left[:100], market.right[:100]
    labels, odds = market.labels[:100], []
    for name in ("one", "again"):
        matcher = market.matcher(towers, cfg=cfg)
        assert matcher.teach(*pairs, labels)
        matcher.save(tmp_path / name)
        odds.append(matcher.log_odds(*pairs))
    assert np.array_equal(*odds)
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert files == ["text_matcher.json", "text_matcher.safetensors"]
    assert all((tmp_path / "one" / name).read_bytes() == (tmp_path / "again" / name).read_bytes() for name in files)

    def night_after(before: str, name: str, cfg: TextMatcherConfig = cfg) -> bool:
        """Return whether a night whose labels are others still says what the readers of ``before`` say."""
        matcher = market.matcher(towers, cfg=cfg)
        matcher.take_over(tmp_path / before)
        assert matcher.teach(*pairs, 1 - labels)
        matcher.save(tmp_path / name)
        return np.array_equal(matcher.log_odds(*pairs), odds[0])

    assert night_after("one", "second")
    assert not night_after("second", "third"), "it has served two nights"
    assert not night_after("one", "other", cfg.model_copy(update={"max_tokens": 20})), "other parameters"
    assert not night_after("none", "other"), "there is none"
    (tmp_path / "one" / "text_matcher.safetensors").write_bytes(b"cut off")
    with pytest.raises(IntegrityError, match=r"text_matcher\.safetensors"):
        night_after("one", "other")


def test_too_few_pairs_teach_nothing(market: Market, towers: Towers) -> None:
    assert not market.matcher(towers).teach(market.left[:30], market.right[:30], np.ones(30, dtype=np.int64))


def test_a_night_uses_one_as_its_parameters_say(snapshot: Path, embedded: Path, towers: Towers, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    save_towers(towers, tmp_path / "trained" / "towers")
    cfg = GroupProductsConfig(text_matcher={"train_pairs": 2000, "read_pairs": 100, "epochs": 1, "max_tokens": 24})
    inputs = (snapshot, embedded, tmp_path / "none")
    with pytest.raises(ConfigError, match=r"text_matcher\.train_pairs"):
        group_products(cfg, *inputs, tmp_path / "refused")
    report = group_products(cfg, *inputs, tmp_path / "with", tmp_path / "trained")
    said = report.detail["text_matcher"]
    assert 0 < said["train_pairs"] <= 2000
    assert said["used"] == (said["validation_log_loss"] < said["validation_log_loss_without"])
    assert said["used"] == (tmp_path / "with" / "text_matcher").is_dir()
    assert said["read_pairs"] <= 100 * said["used"]
