"""Award lots to bidders by their scores, under capacity limits. Pure: the same offers give the same awards."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Literal, NamedTuple

from guardgraph.state import exact_decimal

__all__ = ("AWARDS", "AwardRule", "NextBest", "Offer", "award_by_regret", "award_greedily")

AwardRule = Literal["greedy", "regret"]


class Offer(NamedTuple):
    """A bid as the award sees it."""

    lot: str
    bidder: str
    score: float
    """The higher, the better; any two can be compared, so that it is finite."""
    load: float = 1.0
    confidence: float = 1.0
    """Decides between equal scores."""


class _Standings:
    """What each bidder has been awarded, and what it may still be."""

    def __init__(self, capacity: Mapping[str, Decimal | None], copies: Mapping[str, int]) -> None:
        self.left = dict(capacity)
        self.copies, self.lots = copies, dict.fromkeys(capacity, 0)
        self.order = {name: number for number, name in enumerate(capacity)}

    def fits(self, offer: Offer) -> bool:
        left = self.left[offer.bidder]
        return left is None or _exact(offer.load) <= left

    @exact_decimal
    def take(self, offer: Offer) -> None:
        self._count(offer, 1)

    @exact_decimal
    def give_back(self, offer: Offer) -> None:
        self._count(offer, -1)

    def _count(self, offer: Offer, times: int) -> None:
        left = self.left[offer.bidder]
        self.lots[offer.bidder] += times
        if left is not None:
            self.left[offer.bidder] = left - times * _exact(offer.load)

    def least_busy(self, offers: Iterable[Offer]) -> Offer:
        """Return the offer of the bidder with the least to do, in proportion to its copies; then of the first one."""
        return min(offers, key=self._busyness)

    def _busyness(self, offer: Offer) -> tuple[float, int]:
        name = offer.bidder
        return (self.lots[name] + 1) / self.copies.get(name, 1), self.order[name]


def award_greedily(
    offers: Sequence[Offer], capacity: Mapping[str, Decimal | None], copies: Mapping[str, int] | None = None
) -> list[Offer]:
    """Return the offers that win: the best score first, as long as its bidder has capacity left and its lot is open.

    `capacity` is what each bidder has left, in the order in which the bidders were declared. Between equal scores the
    higher confidence decides, then the order of lots in `offers`, then who has the least to do.
    """
    places = _places(offers)
    ranked = sorted(offers, key=lambda one: (-one.score, -one.confidence, places[one.lot]))
    standings, won = _Standings(capacity, copies or {}), dict[str, Offer]()
    start = 0
    while start < len(ranked):
        end = start + 1
        while end < len(ranked) and _is_level(ranked[start], ranked[end]) and ranked[end].lot == ranked[start].lot:
            end += 1
        fitting = [one for one in ranked[start:end] if one.lot not in won and standings.fits(one)]
        if fitting:
            best = standings.least_busy(fitting)
            won[best.lot] = best
            standings.take(best)
        start = end
    return sorted(won.values(), key=lambda one: places[one.lot])


def award_by_regret(
    offers: Sequence[Offer], capacity: Mapping[str, Decimal | None], copies: Mapping[str, int] | None = None
) -> list[Offer]:
    """Return the offers that win: first the lot that would lose most if its best bidder were not available any more.

    That is the lot with the largest difference between its best score and the second best, of the bidders that have
    capacity left for it; one with a single bidder comes before all others. Else as `award_greedily`.
    """
    places = _places(offers)
    standings, won = _Standings(capacity, copies or {}), list[Offer]()
    by_lot, by_bidder = dict[str, list[Offer]](), dict[str, list[Offer]]()
    for one in sorted(filter(standings.fits, offers), key=lambda one: (-one.score, -one.confidence)):
        by_lot.setdefault(one.lot, []).append(one)
        by_bidder.setdefault(one.bidder, []).append(one)
    regrets = {lot: _regret(ranked) for lot, ranked in by_lot.items()}
    while regrets:
        lot = max(regrets, key=lambda lot: (*regrets[lot], -places[lot]))
        best = standings.least_busy(one for one in by_lot[lot] if _is_level(one, by_lot[lot][0]))
        won.append(best)
        standings.take(best)
        del regrets[lot]
        coming = [one for one in by_bidder[best.bidder] if one.lot in regrets]
        by_bidder[best.bidder] = []
        for one in coming:
            if standings.fits(one):
                by_bidder[best.bidder].append(one)
                continue
            by_lot[one.lot].remove(one)
            if by_lot[one.lot]:
                regrets[one.lot] = _regret(by_lot[one.lot])
            else:
                del regrets[one.lot]
    return sorted(won, key=lambda one: places[one.lot])


class NextBest:
    """Who is awarded a lot in place of a winner that may not do it: the next best offer, with what capacity is left."""

    def __init__(
        self,
        offers: Iterable[Offer],
        won: Iterable[Offer],
        capacity: Mapping[str, Decimal | None],
        copies: Mapping[str, int] | None = None,
    ) -> None:
        self._standings = _Standings(capacity, copies or {})
        self._others: dict[str, list[Offer]] = {}
        for one in sorted(offers, key=lambda one: (-one.score, -one.confidence)):
            self._others.setdefault(one.lot, []).append(one)
        for one in won:
            self._take(one)

    def in_place_of(self, offer: Offer) -> Offer | None:
        """Award the lot of an offer that had won to the next best one; `None` where none is left that fits."""
        self._standings.give_back(offer)
        fitting = [one for one in self._others[offer.lot] if self._standings.fits(one)]
        if not fitting:
            return None
        best = self._standings.least_busy(one for one in fitting if _is_level(one, fitting[0]))
        self._take(best)
        return best

    def _take(self, offer: Offer) -> None:
        self._others[offer.lot].remove(offer)
        self._standings.take(offer)


AWARDS: Mapping[AwardRule, Callable[..., list[Offer]]] = {"greedy": award_greedily, "regret": award_by_regret}


def _regret(ranked: Sequence[Offer]) -> tuple[float, float]:
    """Return what a lot loses without its best offer, and the score of that."""
    second = ranked[1].score if len(ranked) > 1 else float("-inf")
    return ranked[0].score - second, ranked[0].score


def _is_level(one: Offer, other: Offer) -> bool:
    return (one.score, one.confidence) == (other.score, other.confidence)


def _places(offers: Iterable[Offer]) -> dict[str, int]:
    """Return the number of each lot, in the order in which they come."""
    return {lot: number for number, lot in enumerate(dict.fromkeys(one.lot for one in offers))}


def _exact(load: float) -> Decimal:
    """Return a load as it is written: three times 0.1 is 0.3."""
    return Decimal(str(load))
