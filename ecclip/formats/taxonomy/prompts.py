"""What the towers of a night make of a taxonomy: its categories by their names, synonyms and descriptions alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ecclip.formats.embeddings import Prompts, category_prompt, load_prompts, write_prompts
from ecclip.formats.taxonomy.tree import Taxonomy

_FILE = "category_prompts.parquet"


@dataclass(frozen=True)
class EmbeddedTaxonomy:
    """Categories as the text tower reads them.

    Attributes:
        taxonomy: theirs.
        paths: of the categories [L], root to leaf in the first language, in the taxonomy's order.
        embeddings: float32 [L, d] of length 1, the mean of a category's prompts.
        features: float32 [L, width] of length 1, likewise of the text tower's own features.
    """

    taxonomy: Taxonomy
    paths: list[tuple[str, ...]]
    embeddings: np.ndarray
    features: np.ndarray

    @property
    def leaves(self) -> set[tuple[str, ...]]:
        """Return the paths that nothing stands below."""
        return {self.taxonomy.paths[name] for name in self.taxonomy.leaves}

    def rows_of(self, paths: Sequence[tuple[str, ...]]) -> np.ndarray:
        """Return the place of each path, int64 [N]."""
        place = {path: number for number, path in enumerate(self.paths)}
        return np.array([place[path] for path in paths], dtype=np.int64)


def prompts_of(taxonomy: Taxonomy) -> dict[str, list[str]]:
    """Return by id all that a category is called in front of a text tower: names, synonyms, and what it is."""
    return {name: list(dict.fromkeys(_prompts(taxonomy, name))) for name in taxonomy.categories}


def write_category_prompts(prompts: Prompts, folder: Path) -> None:
    """Write beside a night's embeddings what its towers make of all texts of :func:`prompts_of`."""
    write_prompts(prompts, folder, _FILE)


def load_embedded_taxonomy(taxonomy: Taxonomy | None, folder: Path) -> EmbeddedTaxonomy | None:
    """Return a snapshot's taxonomy as the embeddings beside it read it; None where one of the two is missing.

    Raises:
        IntegrityError: the prompts cannot be read; names the file.
    """
    prompts = None if taxonomy is None else load_prompts(folder, _FILE)
    if taxonomy is None or prompts is None:
        return None
    paths = [taxonomy.paths[name] for name in taxonomy.categories]
    return EmbeddedTaxonomy(taxonomy, paths, *prompts.pooled([*prompts_of(taxonomy).values()]))


def _prompts(taxonomy: Taxonomy, name: str) -> Iterator[str]:
    """Yield the prompts of a category: each name as a kind of what stands above it, in the name's language."""
    one, first = taxonomy.categories[name], taxonomy.languages[0]
    above = taxonomy.categories[one.parent].names if one.parent is not None else {}
    for language, word in one.names.items():
        kind = above.get(language, above.get(first))
        yield category_prompt([*([kind] if kind else []), word])
    for word in one.synonyms:
        yield category_prompt([*([above[first]] if above else []), word])
    if one.description:
        yield one.description
