"""Settle awards: what came of them is reported, and feeds the reputation of the bidder."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence, Set

from guardgraph.agents.agent import Agent
from guardgraph.nodes.decisions.auction_log import Auction, Settled, report
from guardgraph.nodes.decisions.auction_rules import AuctionRules, actual_cost
from guardgraph.nodes.decisions.bids import auction_of
from guardgraph.nodes.decisions.lots import unsold_reason, with_capacity
from guardgraph.nodes.decisions.review import (
    act_on_review,
    agents_by_name,
    review,
    unreviewed_results,
)
from guardgraph.nodes.gate_context import Destination, GateContext
from guardgraph.state import Result, Usage
from guardgraph.storage.reputation import SettledAward

__all__ = ("review_lots",)


def review_lots(gate: GateContext, agents: Sequence[Agent], *, rules: AuctionRules) -> Destination | None:
    """Review the results of winners by the guards of `handoff`, and settle the awards that have ended.

    A lot at which its winner has failed is no gap as long as another bidder can be asked for it; one of whose result
    there is no opinion is not sold again, since that of another bidder would meet the same reviewer.
    """
    known = agents_by_name(agents)
    results = [result for result in unreviewed_results(gate.state) if result.agent in known]
    auction = auction_of(gate, rules)
    decision = review(gate, results, at="handoff", agents=known)
    accepted = {one.subtask for one in decision.accepted}
    failed = {gap.subtask: gap.reason for gap in decision.gaps if not gap.path and gap.subtask not in accepted}
    undecided = {one.subtask for one in results if one.id in decision.undecided}
    lost = {lot: reason for lot, reason in failed.items() if lot not in undecided}
    unsold = _unsold(gate, auction, lost, rules) if decision.ending is None else {}
    decision.gaps = [
        gap if gap.path else gap.model_copy(update={"reason": unsold.get(gap.subtask) or gap.reason})
        for gap in decision.gaps
        if unsold.get(gap.owner, "") is not None
    ]
    destination = act_on_review(gate, decision, results, known)
    missing = {gap.subtask: gap.reason for gap in gate.gaps if not gap.path and gap.subtask not in accepted}
    failed = {**missing, **failed}
    ended = {one.subtask: one for one in results if one.subtask in accepted | failed.keys()}
    _settle(gate, auction, ended, failed, rules, undecided=decision.undecided)
    return destination


def _unsold(
    gate: GateContext, auction: Auction, failed: Mapping[str, str], rules: AuctionRules
) -> dict[str, str | None]:
    """Return why no other bidder can be asked for each of the failed lots; `None` where one can."""
    after = auction.with_failed(failed)
    lots, free = {lot.id: lot for lot in gate.state["plan"].subtasks}, with_capacity(after, rules)
    return {lot: unsold_reason(lots[lot], after, rules, free) for lot in failed}


def _settle(
    gate: GateContext,
    auction: Auction,
    ended: Mapping[str | None, Result],
    failed: Mapping[str, str],
    rules: AuctionRules,
    *,
    undecided: Set[str],
) -> None:
    """Report the awards of the lots that have `ended`, each with its last result, and record them.

    What a limit of the run has stopped, and what a reviewer has given no opinion of, counts neither for nor against its
    bidder.
    """
    found: defaultdict[tuple[str, str], list[Settled]] = defaultdict(list)
    made: defaultdict[str | None, list[Result]] = defaultdict(list)
    for one in gate.state["results"] if ended else ():
        made[one.subtask].append(one)
    records = list[SettledAward]()
    for lot, result in ended.items():
        award = auction.awards.get(lot or "")
        if lot is None or award is None or (lot in auction.done and lot not in failed):
            continue  # what was settled as done is only written again
        names = agents_by_name([rules.bidders[award.bidder].worker])
        usage = Usage.total(one.usage for one in made[lot] if one.agent in names)
        cost, seconds = actual_cost(usage, rules.unit), usage.microseconds / 1_000_000
        is_done = lot not in failed
        found[award.message, award.bidder].append(Settled(lot, is_done, cost, seconds, failed.get(lot, "")))
        if result.stopped_by is None and result.id not in undecided:
            key = f"{gate.position.account}/{result.id}"
            records.append(SettledAward(key, award.bidder, is_done, award.bid.cost, cost, seconds))
    number = len(gate.state.get("log") or ())
    messages = [report(award, bidder, settled, number) for (award, bidder), settled in found.items()]
    gate.services.reputation.record(records)
    gate.write_unchecked(log=messages)
