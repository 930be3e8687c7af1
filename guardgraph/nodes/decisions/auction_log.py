"""The log of an auction as messages, and what it means. Pure: all that an auction knows is read from its log."""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from threading import Lock
from typing import Annotated, Any, NamedTuple

from pydantic import TypeAdapter

from guardgraph.agents.bidding import Bid
from guardgraph.state import Message, RunState, append_by_id, exact_decimal

__all__ = (
    "MANAGER",
    "Auction",
    "AuctionLogs",
    "AuctionState",
    "Award",
    "BidAnswer",
    "Settled",
    "announced_in",
    "announcement",
    "award_message",
    "bid_message",
    "read_log",
    "rejection",
    "report",
    "unusable",
)

MANAGER = "guard_dispatch"
"""Who sends for the team: a name that no agent can have."""
_KEPT = 64
"""How many runs are known in this process; what another one amounts to is read from its log again."""
_BIDS = TypeAdapter(tuple[Bid, ...])


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


class BidAnswer(NamedTuple):
    """The bids of a bidder on one announcement."""

    message: str
    """The id of the message that has them."""
    bids: tuple[Bid, ...]


@dataclass(slots=True)
class Auction:
    """What the log of an auction means. Adding one message takes the same time in a long log."""

    length: int = 0
    """How many messages the log has."""
    announced: Counter[str] = field(default_factory=Counter[str])
    """How often each lot was announced."""
    asks: int = 0
    """How many announcements there were."""
    ask: Message | None = None
    """The latest announcement."""
    bids: dict[str, BidAnswer] = field(default_factory=dict[str, BidAnswer])
    """The bids on the latest announcement that are still to be decided, by bidder."""
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
    _loads: defaultdict[str, Decimal] = field(default_factory=lambda: defaultdict(Decimal))

    def is_at_work(self, lot: str) -> bool:
        """Return whether a lot is awarded, and neither done nor failed."""
        award = self.awards.get(lot)
        return award is not None and lot not in self.done and award.bidder not in self.failed.get(lot, {})

    def load_of(self, bidder: str) -> Decimal:
        """Return the load that a bidder was awarded, without that of lots at which it has failed."""
        return self._loads.get(bidder, Decimal(0))

    def with_failed(self, reasons: Mapping[str, str]) -> Auction:
        """Return what it would mean if the winners of these lots had failed."""
        failed = {**self.failed, **{lot: {**self.failed.get(lot, {})} for lot in reasons}}
        after = replace(self, done={*self.done}, failed=failed, _loads=self._loads.copy())
        for lot, reason in reasons.items():
            after._settle(self.awards[lot].bidder, lot, reason)
        return after

    def append(self, message: Message) -> None:
        """Add the next message of the log."""
        self.length += 1
        content: Any = message.content
        match message.performative:
            case "ask":
                self.announced.update(content["lots"])
                self.asks += 1
                self.ask, self.bids, self.refused = message, {}, {}
            case "bid":
                self.bids[message.sender] = BidAnswer(message.id, _BIDS.validate_python(content["bids"]))
                self.refused.pop(message.sender, None)
                self.answers.add(message.id)
            case "reject" if "reason" in content:
                self.refused[message.recipients[0]] = content["reason"]
                self.answers.add(str(message.in_reply_to))
            case "reject":
                self.bids.pop(message.recipients[0], None)
            case "award":
                self.bids.pop(message.recipients[0], None)
                for one in content["awards"]:
                    bid = Bid.model_validate({name: one[name] for name in Bid.model_fields})
                    self._hold(bid.subtask, Award(message.recipients[0], bid, message.id))
            case "inform":
                for one in content["settled"]:
                    self._settle(message.sender, one["lot"], None if one["is_done"] else one["reason"])
            case _:
                pass

    def _hold(self, lot: str, award: Award) -> None:
        """Give a lot to its winner, which holds its load from now on."""
        self._release(lot)
        self.awards[lot] = award
        if award.bidder not in self.failed.get(lot, {}):
            self._add(award.bidder, Decimal(str(award.bid.load)))

    def _settle(self, bidder: str, lot: str, failed: str | None) -> None:
        if failed is None:
            self.done.add(lot)
            return
        if lot in self.awards and self.awards[lot].bidder == bidder:
            self._release(lot)
        self.done.discard(lot)  # where the exit has given an accepted answer back, and no other one came
        self.failed.setdefault(lot, {})[bidder] = failed

    def _release(self, lot: str) -> None:
        """Take a lot from its winner, which has its load back unless it had that before."""
        award = self.awards.get(lot)
        if award is not None and award.bidder not in self.failed.get(lot, {}):
            self._add(award.bidder, -Decimal(str(award.bid.load)))

    @exact_decimal
    def _add(self, bidder: str, load: Decimal) -> None:
        self._loads[bidder] += load


class AuctionLogs:
    """What the logs of the runs of one graph mean, in this process. One that does not fit a log is read again."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, tuple[Auction, Message | None]] = OrderedDict()
        self._lock = Lock()

    def read(self, account: str, log: Sequence[Message]) -> Auction:
        """Return what a log means; only the messages that are new since the last call are read.

        `account` is that of the team whose log it is. What is returned grows with later calls.
        """
        with self._lock:
            auction, last = self._known.pop(account, (None, None))
            length = 0 if auction is None else auction.length
            if auction is None or length > len(log) or (length and log[length - 1] is not last):
                auction = Auction()
            for message in log[auction.length :]:
                auction.append(message)
            self._known[account] = auction, log[-1] if log else None
            while len(self._known) > _KEPT:
                self._known.popitem(last=False)
        return auction


def read_log(log: Iterable[Message]) -> Auction:
    """Return what the log of an auction means."""
    auction = Auction()
    for message in log:
        auction.append(message)
    return auction


def announced_in(auction: Auction) -> list[str]:
    """Return the lots of the latest announcement."""
    content: Any = {"lots": []} if auction.ask is None else auction.ask.content
    return list(content["lots"])


def announcement(auction: Auction, lots: Sequence[str], bidders: Sequence[str]) -> Message:
    """Return the message that announces lots to the bidders that can do one of them."""
    return _message(f"ask{auction.asks + 1}", MANAGER, bidders, "ask", {"lots": [*lots]})


def bid_message(ask: Message, bidder: str, bids: Iterable[Bid], *, answer: str = "") -> Message:
    """Return the bids of a bidder as a message; `answer` is the id of the result that has them."""
    content = {"bids": _BIDS.dump_python(tuple(bids), mode="json")}
    return _message(answer or f"{ask.id}/{bidder}", bidder, [MANAGER], "bid", content, ask.id)


def unusable(bidder: str, answer: str, reason: str) -> Message:
    """Return the message that refuses an answer: `answer` is the id of its result."""
    return _message(f"{answer}/refused", MANAGER, [bidder], "reject", {"reason": reason}, answer)


def award_message(answer: str, bidder: str, won: Sequence[tuple[Bid, float]]) -> Message:
    """Return the message that awards lots to a bidder, each with its bid and its score; `answer` has the bids."""
    awards = [{**one.model_dump(mode="json"), "score": score} for one, score in won]
    return _message(f"{answer}/award", MANAGER, [bidder], "award", {"awards": awards}, answer)


def rejection(answer: str, bidder: str, lots: Sequence[str]) -> Message:
    """Return the message that rejects the bids of a bidder for some lots; `answer` has the bids."""
    return _message(f"{answer}/reject", MANAGER, [bidder], "reject", {"lots": [*lots]}, answer)


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
