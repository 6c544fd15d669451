"""How the cells of the benchmark end: the frozen size is chosen on validation, the figures are those of test."""

from __future__ import annotations

import numpy as np
import pytest

from ecclip.bench import new_result
from ecclip.bench.quality import recipe

ROWS = 400
GROUPS = np.arange(ROWS) // 2
IS_TEST = np.arange(ROWS) < 200


def _answered(test: float, validation: float) -> recipe.Answered:
    """Return answers of one modality of which these shares are right, spread evenly over the listings."""

    def hits(asked: np.ndarray, share: float) -> dict[str, np.ndarray]:
        right = (np.arange(ROWS) * 7 % 100 < 100 * share).astype(np.float64)
        return {"image": np.where(asked, right, np.nan)}

    return recipe.Answered(hits(IS_TEST, test), hits(~IS_TEST, validation))


def test_the_size_is_the_best_on_validation_even_where_test_would_choose_another() -> None:
    frozen = {"128 px": _answered(0.5, 0.9), "224 px": _answered(0.8, 0.7)}
    (cell,) = recipe.cells_of("shop, kind", _answered(0.7, 0.9), frozen, GROUPS)
    assert (cell.name, cell.beside, cell.listings) == ("image, shop, kind", "128 px", 200)
    assert cell.gain[0] == pytest.approx(0.2)
    assert (cell.outcome, cell.falls_back) == ("ahead", False)


def test_a_cell_is_behind_by_test_and_falls_back_by_validation() -> None:
    behind = recipe.cells_of("a", _answered(0.5, 0.8), {"128 px": _answered(0.8, 0.8)}, GROUPS)[0]
    assert (behind.outcome, behind.falls_back) == ("behind", False)
    fallen = recipe.cells_of("b", _answered(0.8, 0.5), {"128 px": _answered(0.8, 0.8)}, GROUPS)[0]
    assert (fallen.outcome, fallen.falls_back) == ("even", True)
    result = new_result("test")
    recipe.enter_cells(result, [behind, fallen])
    counts = {name: value for name, value in result.headline.items() if name.startswith("cells_")}
    assert counts == {"cells_ahead": 0, "cells_behind": 1, "cells_fallback": 1, "cells_total": 2}
    assert [(row.what, row.system, row.n) for row in result.rows] == [
        ("gain of training, image, a", "over 128 px", 200),
        ("gain of training, image, b", "over 128 px", 200),
    ]
