"""Announce the lots of an auction, and award them to the best bids."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set

from langgraph.types import Send

from guardgraph.agents.agent import Agent
from guardgraph.agents.bidding import Bid
from guardgraph.nodes.decisions.auction_log import (
    Auction,
    announced_in,
    award_message,
    rejection,
)
from guardgraph.nodes.decisions.auction_rules import AuctionRules
from guardgraph.nodes.decisions.award import AWARDS, NextBest, Offer
from guardgraph.nodes.decisions.bids import announce, auction_of, read_bids
from guardgraph.nodes.decisions.dispatch import wave_limit
from guardgraph.nodes.decisions.lots import capacity_left, decide_lots, open_lots
from guardgraph.nodes.decisions.plan import read_plan
from guardgraph.nodes.decisions.review import agents_by_name
from guardgraph.nodes.gate_context import Destination, GateContext
from guardgraph.nodes.judging import allowed_sends
from guardgraph.state import EarlyStop, Gap, Message, Plan, Result, Subtask, Verdict

__all__ = ("announce_lots", "award_what_is_bid", "has_open_lots")

_OF_NO_BIDDER = frozenset({"Deadline", "Depth", "Limits"})
"""Guards that do not look at who is sent to work: what they stop for one bidder they stop for all."""


def announce_lots(gate: GateContext, agents: Sequence[Agent], *, rules: AuctionRules) -> Destination | None:
    """Read the plan, judge it by the guards of `round`, and announce all lots that can start.

    At most 512 at once, or 16 for each agent that may work at a time if those are more, as in a supervisor. Where all
    bidders bid as declared, the lots are awarded at once. `None` where nothing is left to announce.
    """
    plan: Plan | None = gate.state.get("plan")
    if plan is None:
        read = _only_lot(gate) if rules.planner is None else read_plan(gate, rules.planner, _workers(rules))
        if not isinstance(read, Plan):
            return read
        plan = read
    stop = gate.stop_reason()
    if stop is not None:
        return gate.stop_for(stop)
    limit = wave_limit(gate)
    while True:
        decision = decide_lots(plan, auction_of(gate, rules), gate.state.get("gaps") or (), rules, limit=limit)
        gate.write_unchecked(gaps=decision.gaps)
        if not decision.lots:
            return None
        sends = announce(gate, decision.lots, rules)
        destination = sends or _award(gate, rules)
        if destination is not None:
            return destination


def award_what_is_bid(gate: GateContext, agents: Sequence[Agent], *, rules: AuctionRules) -> Destination | None:
    """Read the answers of bidding agents, award the lots, and send them, each judged by the guards of `dispatch`.

    `None` where no lot is awarded.
    """
    again = read_bids(gate, rules)
    if again is not None:
        return again
    stop = gate.stop_reason()
    return _award(gate, rules) if stop is None else gate.stop_for(stop)


def has_open_lots(gate: GateContext, rules: AuctionRules) -> bool:
    """Return whether there are lots that can still be announced."""
    plan: Plan | None = gate.state.get("plan")
    return plan is not None and bool(open_lots(plan, auction_of(gate, rules), gate.state.get("gaps") or ()))


def _workers(rules: AuctionRules) -> list[Agent]:
    return [bidder.worker for bidder in rules.bidders.values()]


def _only_lot(gate: GateContext) -> Plan | Destination:
    """Return the task as a plan of one lot, or where the run goes where a guard of `round` refuses that."""
    task = gate.task
    plan = Plan(subtasks=(Subtask(id="task", goal=task.goal, inputs=task.inputs),))
    plan = plan.with_fresh_ids(set(gate.team.agents), 2)
    gate.write_unchecked(trusted_subtasks=[one.id for one in plan.subtasks])
    decision = gate.judge("round", plan)
    gate.write_unchecked(plan=plan, subtasks=list(plan.subtasks), verdicts=[*decision.verdicts])
    ending = decision.ending(otherwise="degraded")
    return plan if ending is None else gate.end(ending)


def _award(gate: GateContext, rules: AuctionRules) -> Destination | None:
    """Award the announced lots and return what is sent; `None` where nothing is.

    A lot that a guard of `dispatch` stops for its winner goes to the next best bid. A lot without a bid is a gap; so is
    one for which no bidder has enough capacity, where no winner is at work.
    """
    auction = auction_of(gate, rules)
    bids = {(bid.subtask, name): bid for name, answer in auction.bids.items() for bid in answer.bids}
    offers = _offers(gate, auction, bids, rules)
    capacity = {name: capacity_left(one, auction) for name, one in rules.bidders.items()}
    copies = {one.name: one.copies or 1 for one in _workers(rules)}
    won = AWARDS[rules.award](offers, capacity, copies)
    next_best = NextBest(offers, won, capacity, copies)
    lots, attempts = {lot.id: lot for lot in gate.state["plan"].subtasks}, _attempts(gate)
    sent: dict[int, tuple[Send, Offer]] = {}
    bidding = agents_by_name(rules.bidding.values())
    answers: list[Result] = [one for one in gate.state.get("plans") or () if one.agent in bidding]
    is_trusted = all(one.trusted for one in answers)  # bids choose who does a lot

    def send(offer: Offer) -> Send:
        lot = lots[offer.lot]
        found = gate.send(
            rules.bidders[offer.bidder].worker,
            lot,
            attempt=1 + attempts.get(lot.id, 0),
            trusted=is_trusted and gate.is_trusted(lot),
        )
        sent[id(found)] = found, offer
        return found

    def instead(stopped: Send, trip: Verdict) -> Send | None:
        other = None if trip.guard in _OF_NO_BIDDER else next_best.in_place_of(sent[id(stopped)][1])
        return None if other is None else send(other)

    sends = allowed_sends(gate, [send(one) for one in won], instead=instead)
    ending: EarlyStop | None = gate.state.get("ending")
    if ending is not None:
        return gate.end(ending)
    winners = {offer.lot: offer for _, offer in (sent[id(one)] for one in sends)}
    gate.write_unchecked(
        log=[*_awards(auction, winners, bids), *_rejections(auction, winners)],
        gaps=_unsold(auction, {one.lot for one in offers}, {one.lot for one in won}),
    )
    return sends or None


def _offers(
    gate: GateContext, auction: Auction, bids: Mapping[tuple[str, str], Bid], rules: AuctionRules
) -> list[Offer]:
    """Return the bids that their score does not refuse, by the order of the lots, then of the bidders."""
    known = gate.services.reputation.read([*auction.bids])
    scored = {key: rules.score_of(bid, known[key[1]]) for key, bid in bids.items()}
    return [
        Offer(lot, name, score, bids[lot, name].load, bids[lot, name].confidence * known[name].reliability)
        for lot in announced_in(auction)
        for name in rules.bidders
        if (score := scored.get((lot, name), float("-inf"))) > float("-inf")
    ]


def _attempts(gate: GateContext) -> dict[str, int]:
    """Return how many attempts there were at each lot, over all winners."""
    found = dict[str, int]()
    for one in gate.state.get("results") or ():
        if one.subtask is not None:
            found[one.subtask] = max(one.attempt, found.get(one.subtask, 0))
    return found


def _awards(auction: Auction, winners: Mapping[str, Offer], bids: Mapping[tuple[str, str], Bid]) -> Iterable[Message]:
    """Yield what awards lots to their winners, a message for each bidder."""
    for bidder, answer in auction.bids.items():
        won = [(bids[lot, bidder], one.score) for lot, one in winners.items() if one.bidder == bidder]
        if won:
            yield award_message(answer.message, bidder, won)


def _rejections(auction: Auction, winners: Mapping[str, Offer]) -> Iterable[Message]:
    """Yield what rejects the bids that have not won, a message for each bidder."""
    for bidder, answer in auction.bids.items():
        lots = (bid.subtask for bid in answer.bids)
        lost = [lot for lot in lots if lot not in winners or winners[lot].bidder != bidder]
        if lost:
            yield rejection(answer.message, bidder, lost)


def _unsold(auction: Auction, offered: Set[str], won: Set[str]) -> list[Gap]:
    """Return a gap for each lot without an offer, and, if no lot was awarded, for those without enough capacity."""
    found = list[Gap]()
    for lot in announced_in(auction):
        if lot not in offered:
            found.append(Gap(subtask=lot, reason=_why_no_bid(auction, lot)))
        elif not won:
            found.append(Gap(subtask=lot, reason="no bidder has enough capacity left for it"))
    return found


def _why_no_bid(auction: Auction, lot: str) -> str:
    """Return who has failed at a lot before, and why none of the others has a bid that counts."""
    failed = auction.failed.get(lot, {})
    reasons = [f"{name!r} has failed: {reason}" for name, reason in failed.items()]
    for name in auction.ask.recipients if auction.ask is not None else ():
        bids = auction.bids[name].bids if name in auction.bids else ()
        if any(bid.subtask == lot for bid in bids):
            reasons.append(f"the bid of {name!r} was refused by the score")
        elif name in auction.refused:
            reasons.append(f"{name!r} has no usable bid: {auction.refused[name]}")
        elif name not in failed:
            reasons.append(f"{name!r} has declined")
    return f"no bid: {'; '.join(reasons)}"
