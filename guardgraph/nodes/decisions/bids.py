"""Ask for bids, and read them: what cannot be used goes back with the reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langgraph.types import Send
from pydantic import ValidationError

from guardgraph.agents.agent import Agent
from guardgraph.agents.bidding import Bid, capacity_item, lots_item
from guardgraph.nodes.decisions.auction_log import Auction, announced_in, announcement, bid_message, unusable
from guardgraph.nodes.decisions.auction_rules import AuctionRules, declared_cost
from guardgraph.nodes.decisions.lots import can_bid, capacity_left, with_capacity
from guardgraph.nodes.decisions.review import RetryRequest, agents_by_name, retry, retry_request
from guardgraph.nodes.gate_context import Destination, GateContext
from guardgraph.state import ContextItem, Message, Result, Subtask, nearest_text, validation_text

__all__ = ("announce", "auction_of", "read_bids", "usable_bids")


def auction_of(gate: GateContext, rules: AuctionRules) -> Auction:
    """Return what the log means, as it is now. It grows with the log: read it again after a write."""
    return rules.logs.read(gate.position.account, gate.state.get("log") or ())


def announce(gate: GateContext, lots: Sequence[Subtask], rules: AuctionRules) -> list[Send]:
    """Announce lots, each bidder once for all that it can do, and return what makes the bidding agents work.

    Bidders without an agent bid at once, as declared.
    """
    auction = auction_of(gate, rules)
    offers = {one.name: [lot for lot in lots if can_bid(one, lot, auction)] for one in with_capacity(auction, rules)}
    offered = {name: some for name, some in offers.items() if some}
    ask = announcement(auction, [lot.id for lot in lots], [*offered])
    messages, sends, items = [ask], list[Send](), dict[tuple[str, ...], ContextItem]()
    for name, some in offered.items():
        bidder, agent = rules.bidders[name], rules.bidding.get(name)
        if agent is None:
            cost = declared_cost(bidder.worker, rules.unit)
            messages.append(bid_message(ask, name, [Bid(subtask=lot.id, cost=cost) for lot in some]))
            continue
        left = capacity_left(bidder, auction)
        same = tuple(lot.id for lot in some)
        if same not in items:
            items[same] = lots_item(some, trusted=all(map(gate.is_trusted, some)))
        capacity = [] if left is None else [capacity_item(float(left))]
        sends.append(gate.send(agent, context=[*(gate.state.get("context") or ()), items[same], *capacity]))
    gate.write_unchecked(log=messages)
    return sends


def read_bids(gate: GateContext, rules: AuctionRules) -> Destination | None:
    """Read the new answers of bidding agents; return where unusable ones are made again, `None` where none is.

    Of an answer that is not made again the bids that can be used count.
    """
    auction = auction_of(gate, rules)
    bidders = {name: one for one, agent in rules.bidding.items() for name in agents_by_name([agent])}
    agents = agents_by_name(rules.bidding.values())
    plans: Sequence[Result] = gate.state.get("plans") or ()
    wanted = {*announced_in(auction)}
    announced = [lot for lot in gate.state["plan"].subtasks if lot.id in wanted]
    new = [one for one in plans if one.agent in bidders and one.id not in auction.answers]
    messages, retries = list[Message](), list[RetryRequest]()
    for result in new:
        bidder = bidders[result.agent]
        lots = [lot.id for lot in announced if can_bid(rules.bidders[bidder], lot, auction)]
        bids, problem = usable_bids(result, lots)
        again = None if problem is None else _again(gate, result, agents, problem)
        if again is not None:
            retries.append(again)
        elif auction.ask is not None and (bids or problem is None):
            messages.append(bid_message(auction.ask, bidder, bids, answer=result.id))
        if problem is not None:
            messages.append(unusable(bidder, result.id, problem))
    gate.write_unchecked(log=messages, requests={one.id: None for one in new})
    return retry(gate, retries)


def usable_bids(result: Result, lots: Sequence[str]) -> tuple[list[Bid], str | None]:
    """Return the bids of an answer that can be used for `lots`, and what is wrong with the answer."""
    if not result.has_value:
        return [], result.error.message if result.error is not None else "it gave no answer"
    value: Any = result.value
    answers = value.get("bids") if isinstance(value, Mapping) else value
    if not isinstance(answers, list):
        return [], f"bids are a list, got {result.value!r:.80}"
    bids, problems, known = dict[str, Bid](), list[str](), frozenset(lots)
    for answer in answers:
        try:
            bid = Bid.model_validate(answer)
        except ValidationError as error:
            problems.append(f"{answer!r:.80} is no bid: {validation_text(error, whole='bid')}")
            continue
        if bid.subtask not in known:
            problems.append(f"there is no lot {bid.subtask!r:.80} for you{nearest_text(bid.subtask, lots)}")
        elif bid.subtask in bids:
            problems.append(f"there are two bids for the lot {bid.subtask!r}")
        else:
            bids[bid.subtask] = bid
    return [*bids.values()], _listed(problems)


def _again(gate: GateContext, result: Result, agents: Mapping[str, Agent], reason: str) -> RetryRequest | None:
    failed = result.model_copy(update={"status": "failed"}) if result.has_value else result
    return retry_request(gate, failed, agents, reason=reason, on_trip=None)


def _listed(problems: Sequence[str], most: int = 5) -> str | None:
    more = [f"and {len(problems) - most} more"] if len(problems) > most else []
    return "; ".join([*problems[:most], *more]) or None
