"""Decide which lots of an auction can be announced, and to which bidders. Pure: it reads the plan and the log alone."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from guardgraph.agents.bidding import Bidder
from guardgraph.nodes.context import can_do, skills_of
from guardgraph.nodes.decisions.auction_log import Auction
from guardgraph.nodes.decisions.auction_rules import AuctionRules
from guardgraph.state import Gap, Plan, Subtask, exact_decimal, nearest_text

__all__ = (
    "LotDecision",
    "can_bid",
    "capacity_left",
    "decide_lots",
    "open_lots",
    "unsold_reason",
    "with_capacity",
)


@dataclass(slots=True)
class LotDecision:
    """What is announced next."""

    lots: list[Subtask] = field(default_factory=list[Subtask])
    """By priority."""
    gaps: list[Gap] = field(default_factory=list[Gap])
    """Lots that cannot be announced any more."""


def open_lots(plan: Plan, auction: Auction, gaps: Collection[Gap]) -> list[Subtask]:
    """Return the lots that are neither done nor a gap, and that no winner works on, by priority."""
    closed = {gap.subtask for gap in gaps if not gap.path} | auction.done
    lots = (lot for lot in plan.subtasks if lot.id not in closed and not auction.is_at_work(lot.id))
    return sorted(lots, key=lambda lot: -lot.priority)


def decide_lots(
    plan: Plan, auction: Auction, gaps: Collection[Gap], rules: AuctionRules, *, limit: int | None = None
) -> LotDecision:
    """Decide which lots are announced: all that can start, at most `limit`; what never can is a gap.

    It is asked where no winner is at work: what then still waits for another lot depends on a gap.
    """
    decision, waiting = LotDecision(), list[Subtask]()
    coming, free = open_lots(plan, auction, gaps), with_capacity(auction, rules)
    possible = auction.done | {lot.id for lot in coming}
    for lot in coming:
        missing = [need for need in lot.depends_on if need not in possible]
        if missing:
            reason: str | None = f"it depends on what is missing: {', '.join(missing)}"
        elif auction.done.issuperset(lot.depends_on):
            reason = unsold_reason(lot, auction, rules, free)
        else:
            waiting.append(lot)
            continue
        if reason is not None:
            decision.gaps.append(Gap(subtask=lot.id, reason=reason))
            possible.discard(lot.id)
        elif limit is None or len(decision.lots) < limit:
            decision.lots.append(lot)
    if not decision.lots:
        decision.gaps += [Gap(subtask=lot.id, reason="what it depends on is missing") for lot in waiting]
    return decision


def unsold_reason(
    lot: Subtask, auction: Auction, rules: AuctionRules, free: Sequence[Bidder] | None = None
) -> str | None:
    """Return why no bidder can be asked for a lot any more; `None` where one can.

    `free` are the bidders `with_capacity`, where they are known.
    """
    able = [one for one in rules.bidders.values() if can_do(one.worker, lot.skill)]
    if not able:
        known = skills_of(one.worker for one in rules.bidders.values())
        nearest = nearest_text(lot.skill or "", known)
        return f"no bidder has the skill {lot.skill!r}; there are: {', '.join(known)}{nearest}"
    failed = auction.failed.get(lot.id, {})
    reasons = "; ".join(f"{name!r} has failed: {reason}" for name, reason in failed.items())
    if all(one.name in failed for one in able):
        return f"no bidder is left: {reasons}"
    if auction.announced[lot.id] >= rules.rounds:
        return f"it was announced {auction.announced[lot.id]} times, as often as `rounds` allows: " + (
            reasons or "no bidder had enough capacity left"
        )
    if not any(can_bid(one, lot, auction) for one in (with_capacity(auction, rules) if free is None else free)):
        return f"no bidder has capacity left for it{f'; {reasons}' if reasons else ''}"
    return None


def can_bid(bidder: Bidder, lot: Subtask, auction: Auction) -> bool:
    """Return whether a bidder can do a lot by its skills, and has not failed at it."""
    return bidder.name not in auction.failed.get(lot.id, {}) and can_do(bidder.worker, lot.skill)


def with_capacity(auction: Auction, rules: AuctionRules) -> list[Bidder]:
    """Return the bidders that have capacity left."""
    return [one for one in rules.bidders.values() if capacity_left(one, auction) != 0]


@exact_decimal
def capacity_left(bidder: Bidder, auction: Auction) -> Decimal | None:
    """Return how much more load a bidder may be awarded; `None` sets no limit."""
    return None if bidder.capacity is None else Decimal(str(bidder.capacity)) - auction.load_of(bidder.name)
