"""What counts as a match within a group: the catalog as label."""

from __future__ import annotations

from enum import StrEnum


class Labels(StrEnum):
    """How a loss treats the pairs of a group, which are listings of one product.

    Let s_ij be the logit of image i and text j of a batch of B pairs, G(i) the pairs of i's group, i included, and
    c_ij how sure the catalog is that i and j are one product (1 for i = j, and wherever the catalog does not say).

    Softmax loss: the mean over the images i, and likewise over the texts, averaged, of

        -sum_j T_ij log(exp(s_ij) / sum_a w_ia exp(s_ia)),   T_ij = m_ij / sum_a m_ia

    Sigmoid loss: -sum_ij w_ij log sigmoid(z_ij s_ij) / B with z_ij = 1 where m_ij > 0 and -1 elsewhere.

    m is how far a pair is a match, w how far it takes part at all. For pairs of two groups m = 0 and w = 1, for i = j
    both are 1, and for the other pairs of a group:

    * ``hard``: m = 0, w = 1: negatives like any other (CLIP: Radford et al. 2021, figure 3).
    * ``mask``: m = w = 0: left out (elimination of false negatives: Huynh et al. 2022, arXiv 2011.11765).
    * ``soft``: m = w = c_ij: all pairs of the group are matches (the loss L_out of Khosla et al. 2020, arXiv
      2004.11362, equation 2, across the two modalities; the catalog as label: e-CLIP, Shin et al. 2022, arXiv
      2207.00208). A group that the catalog is not sure of lies between ``soft`` and ``mask``.
    * ``soft_within``: ``soft``, plus the mean of the same loss among the images and among the texts, as Khosla et al.
      have it among images. With s_ij the logit of two images it is the sum over i, divided by B, of

          -sum_{p in G(i), p != i} c_ip log(exp(s_ip) / sum_{a != i} w_ia exp(s_ia)) / |G(i) - {i}|

      A listing that is alone in its group is a negative there and no anchor. The sigmoid loss within a modality is
      the one above over i != j.
    """

    HARD = "hard"
    MASK = "mask"
    SOFT = "soft"
    SOFT_WITHIN = "soft_within"

    @property
    def spreads(self) -> bool:
        """Whether the other pairs of a group are matches."""
        return self in (Labels.SOFT, Labels.SOFT_WITHIN)
