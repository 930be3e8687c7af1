"""The log of an auction as messages, and what it means. Pure: all that an auction knows is read from its log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Annotated, Any, NamedTuple

from guardgraph.agents.bidding import Bid
from guardgraph.state import Message, RunState, append_by_id, exact_decimal

__all__ = (
    "MANAGER",
    "Auction",
    "AuctionState",
    "Award",
    "Settled",
    "announced_in",
    "announcement",
    "award_message",
    "bid_message",
    "bids_of",
    "read_log",
    "rejection",
    "report",
    "unusable",
)

MANAGER = "guard_dispatch"
"""Who sends for the team: a name that no agent can have."""


class AuctionState(RunState, total=False):
    """The shared state of an auction."""

    log: Annotated[list[Message], append_by_id]
    """What was announced (`ask`), bid, awarded and rejected, and what came of it (`inform`), in the latest run."""


class Award(NamedTuple):
    """A lot and its winner."""

    bidder: str
    bid: Bid
    message: str
    """The id of the message by which it was awarded."""


class Settled(NamedTuple):
    """What came of an award."""

    lot: str
    is_done: bool
    cost: float | None
    """What it has cost, in the unit of the auction; `None` where that is unknown."""
    seconds: float
    reason: str = ""
    """Why it has failed."""


@dataclass(slots=True)
class Auction:
    """What the log of an auction means."""

    announced: Counter[str] = field(default_factory=Counter[str])
    """How often each lot was announced."""
    asks: int = 0
    """How many announcements there were."""
    ask: Message | None = None
    """The latest announcement."""
    bids: dict[str, Message] = field(default_factory=dict[str, Message])
    """The bids on the latest announcement, by bidder."""
    refused: dict[str, str] = field(default_factory=dict[str, str])
    """Why a bidder has no usable bid on it."""
    answers: set[str] = field(default_factory=set[str])
    """Ids of the answers to announcements that were read."""
    awards: dict[str, Award] = field(default_factory=dict[str, Award])
    """The latest award of each lot."""
    done: set[str] = field(default_factory=set[str])
    """Lots that are done."""
    failed: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])
    """By lot, the bidders that have failed at it, and why."""

    def is_at_work(self, lot: str) -> bool:
        """Return whether a lot is awarded, and neither done nor failed."""
        award = self.awards.get(lot)
        return award is not None and lot not in self.done and award.bidder not in self.failed.get(lot, {})

    @exact_decimal
    def load_of(self, bidder: str) -> Decimal:
        """Return the load that a bidder was awarded, without that of lots at which it has failed."""
        held = (one.bid.load for lot, one in self.awards.items() if one.bidder == bidder and not self._failed(lot))
        return sum((Decimal(str(load)) for load in held), Decimal(0))

    def _failed(self, lot: str) -> bool:
        return self.awards[lot].bidder in self.failed.get(lot, {})


def read_log(log: Iterable[Message]) -> Auction:
    """Return what the log of an auction means."""
    auction = Auction()
    for message in log:
        content: Any = message.content
        match message.performative:
            case "ask":
                auction.announced.update(content["lots"])
                auction.asks += 1
                auction.ask, auction.bids, auction.refused = message, {}, {}
            case "bid":
                auction.bids[message.sender] = message
                auction.refused.pop(message.sender, None)
                auction.answers.add(message.id)
            case "reject" if "reason" in content:
                auction.refused[message.recipients[0]] = content["reason"]
                auction.answers.add(str(message.in_reply_to))
            case "award":
                for one in content["awards"]:
                    bid = Bid.model_validate({name: one[name] for name in Bid.model_fields})
                    auction.awards[bid.subtask] = Award(message.recipients[0], bid, message.id)
            case "inform":
                _read_report(auction, message.sender, content["settled"])
            case _:
                pass
    return auction


def _read_report(auction: Auction, bidder: str, settled: Sequence[Mapping[str, Any]]) -> None:
    for one in settled:
        if one["is_done"]:
            auction.done.add(one["lot"])
        else:
            auction.failed.setdefault(one["lot"], {})[bidder] = one["reason"]


def announced_in(auction: Auction) -> list[str]:
    """Return the lots of the latest announcement."""
    content: Any = {"lots": []} if auction.ask is None else auction.ask.content
    return list(content["lots"])


def bids_of(message: Message) -> list[Bid]:
    """Return the bids in a message."""
    content: Any = message.content
    return [Bid.model_validate(one) for one in content["bids"]]


def announcement(auction: Auction, lots: Sequence[str], bidders: Sequence[str]) -> Message:
    """Return the message that announces lots to the bidders that can do one of them."""
    return _message(f"ask{auction.asks + 1}", MANAGER, bidders, "ask", {"lots": [*lots]})


def bid_message(ask: Message, bidder: str, bids: Iterable[Bid], *, answer: str = "") -> Message:
    """Return the bids of a bidder as a message; `answer` is the id of the result that has them."""
    content = {"bids": [bid.model_dump(mode="json") for bid in bids]}
    return _message(answer or f"{ask.id}/{bidder}", bidder, [MANAGER], "bid", content, ask.id)


def unusable(bidder: str, answer: str, reason: str) -> Message:
    """Return the message that refuses an answer: `answer` is the id of its result."""
    return _message(f"{answer}/refused", MANAGER, [bidder], "reject", {"reason": reason}, answer)


def award_message(bid: Message, bidder: str, won: Sequence[tuple[Bid, float]]) -> Message:
    """Return the message that awards lots to a bidder, each with its bid and its score."""
    awards = [{**one.model_dump(mode="json"), "score": score} for one, score in won]
    return _message(f"{bid.id}/award", MANAGER, [bidder], "award", {"awards": awards}, bid.id)


def rejection(bid: Message, bidder: str, lots: Sequence[str]) -> Message:
    """Return the message that rejects the bids of a bidder for some lots."""
    return _message(f"{bid.id}/reject", MANAGER, [bidder], "reject", {"lots": [*lots]}, bid.id)


def report(award: str, bidder: str, settled: Sequence[Settled], number: int) -> Message:
    """Return the message with what came of lots that one message has awarded to a bidder."""
    content = {"settled": [one._asdict() for one in settled]}
    return _message(f"{award}/report{number}", bidder, [MANAGER], "inform", content, award)


def _message(
    id_: str, sender: str, recipients: Sequence[str], performative: Any, content: Any, reply: str | None = None
) -> Message:
    return Message(
        id=id_,
        sender=sender,
        recipients=tuple(recipients),
        performative=performative,
        content=content,
        in_reply_to=reply,
    )
