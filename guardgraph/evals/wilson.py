"""How sure a share of passed cases is."""

from __future__ import annotations

from math import sqrt
from statistics import NormalDist
from typing import NamedTuple

from guardgraph.state import BadInput

__all__ = ("Interval", "wilson")


class Interval(NamedTuple):
    """A range of shares, from 0 to 1, both ends included."""

    low: float
    high: float


def wilson(passed: int, total: int, *, confidence: float = 0.95) -> Interval:
    """Return the score interval of a share: where the true one lies if `passed` of `total` independent cases passed.

    The formula is that of E. B. Wilson, "Probable inference, the law of succession, and statistical inference",
    Journal of the American Statistical Association 22 (158), 1927, pp. 209-212, without continuity correction. It
    stays within 0 and 1, and is honest for few cases and for shares of 0 and 1. Without any case it is 0 to 1.

    >>> wilson(8, 10)
    Interval(low=0.490162..., high=0.943317...)

    Raises:
        BadInput: a count is negative, more passed than there are, or `confidence` is not between 0 and 1.
    """
    if not 0 <= passed <= total:
        raise BadInput(f"`passed` must be between 0 and `total`, got {passed!r} of {total!r}")
    if not 0 < confidence < 1:
        raise BadInput(f"`confidence` must be between 0 and 1, got {confidence!r}")
    if total == 0:
        return Interval(0.0, 1.0)
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share, weight = passed / total, z * z / total
    center = (share + weight / 2) / (1 + weight)
    reach = z / (1 + weight) * sqrt(share * (1 - share) / total + weight / (4 * total))
    return Interval(
        0.0 if passed == 0 else max(0.0, center - reach),
        1.0 if passed == total else min(1.0, center + reach),
    )
