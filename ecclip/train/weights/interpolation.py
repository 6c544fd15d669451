"""The networks between where they started and where training left them (WiSE-FT, Wortsman et al. 2022)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from ecclip.train.distributed.world import World

UNPROBED_SHARE = 0.5  # where nothing can be measured: the middle, which WiSE-FT recommends (section 4)
Probe = Callable[[], dict[str, float]]


class Interpolation:
    """Moves the networks of towers along the line between two sets of weights; projections stay as they were trained.

    Args:
        parameters: by name, at the start of the training; those of the networks have ``.tower.`` in their name.
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter]) -> None:
        self._parameters = {name: parameter for name, parameter in parameters.items() if ".tower." in name}
        self._start = _copies(self._parameters)

    def choose(self, shares: tuple[float, ...], probe: Probe | None, world: World) -> tuple[float, dict[float, float]]:
        """Leave the networks at the share of the start that is best by the mean of what ``probe`` measures.

        A probe that measures nothing leaves :data:`UNPROBED_SHARE`; equal shares leave the one that comes first.

        Args:
            shares: of the initial weights, 0..1; one alone is taken unseen.
            probe: measures the towers as they stand, each value the higher the better; the first process alone asks.
            world: the processes that train together; all move their networks.

        Returns:
            The share, and the mean by share of what was measured.
        """
        trained = _copies(self._parameters)
        scores: dict[float, float] = {}
        if world.is_first and len(shares) > 1 and probe is not None:
            for share in shares:
                self._move(trained, share)
                cells = probe()
                if cells:
                    scores[share] = sum(cells.values()) / len(cells)
        chosen = self._chosen(shares, scores, world)
        self._move(trained, chosen)
        return chosen, scores

    def _chosen(self, shares: tuple[float, ...], scores: dict[float, float], world: World) -> float:
        if len(shares) == 1:
            return shares[0]
        best = max(scores, key=lambda share: scores[share]) if scores else None
        number = world.from_first(-1 if best is None else shares.index(best))
        return UNPROBED_SHARE if number < 0 else shares[number]

    def _move(self, trained: Mapping[str, Tensor], share: float) -> None:
        with torch.no_grad():
            for name, parameter in self._parameters.items():
                parameter.copy_(torch.lerp(trained[name], self._start[name], share))


def _copies(parameters: Mapping[str, nn.Parameter]) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in parameters.items()}
