"""How well scores separate two kinds of cases."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

__all__ = ("auroc",)


def auroc(positive: Sequence[float], negative: Sequence[float]) -> float | None:
    """Return the area under the ROC curve: the probability that a positive case scores higher than a negative one.

    Equal scores count one half. 0.5 is chance, 1 is perfect, 0 is always wrong; `None` where one kind has no case. It
    is the Mann-Whitney statistic U over the number of pairs: J. A. Hanley and B. J. McNeil, "The meaning and use of the
    area under a receiver operating characteristic (ROC) curve", Radiology 143 (1), 1982, pp. 29-36.

    >>> auroc([0.9, 0.7], [0.7, 0.1])
    0.875
    """
    if not positive or not negative:
        return None
    ranked = sorted([(score, 1) for score in positive] + [(score, 0) for score in negative])
    below, wins = 0, 0.0
    for _, group in groupby(ranked, key=lambda item: item[0]):
        kinds = [kind for _, kind in group]
        positives = sum(kinds)
        negatives = len(kinds) - positives
        wins += positives * (below + negatives / 2)
        below += negatives
    return wins / (len(positive) * len(negative))
