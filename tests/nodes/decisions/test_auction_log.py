"""What the log of an auction means: read once, message by message, it is what all of it means."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal

import pytest

from guardgraph.agents import Bid
from guardgraph.nodes.decisions.auction_log import (
    Auction,
    AuctionLogs,
    Settled,
    announcement,
    award_message,
    bid_message,
    read_log,
    rejection,
    report,
    unusable,
)
from guardgraph.state import Message


def messages(rounds: int) -> Iterator[Message]:
    """Return the log of an auction in which `a` fails at every lot, and `b` does it."""
    auction = Auction()
    for number in range(rounds):
        lot = f"lot{number}"
        for bidder in ("a", "b"):
            ask = announcement(auction, [lot], ["a", "b"])
            bid = Bid(subtask=lot, cost=1, load=0.1)
            found = [ask, bid_message(ask, bidder, [bid]), unusable("c", f"c/{number}", "no number")]
            found.append(award_message(found[1].id, bidder, [(bid, -1.0)]))
            found.append(rejection(found[1].id, "c", [lot]))
            found.append(report(found[3].id, bidder, [Settled(lot, bidder == "b", None, 0.0, "broken")], number))
            for one in found:
                auction.append(one)
            yield from found


def test_a_log_that_grows_is_read_once_and_means_the_same() -> None:
    logs, log = AuctionLogs(), list[Message]()
    for message in messages(4):
        log = [*log, message]  # as the reducer of the channel makes a new list
        assert logs.read("run", log) == read_log(log)

    assert logs.read("run", log) is logs.read("run", [*log])


def test_a_log_that_is_another_one_is_read_again() -> None:
    logs, log = AuctionLogs(), [*messages(2)]
    logs.read("run", log)

    for other in (log[:5], [], [*messages(2)], [*log[:-1], log[0]]):
        assert logs.read("run", other) == read_log(other)


def test_runs_of_one_graph_are_kept_apart_and_not_all_for_ever() -> None:
    logs, log = AuctionLogs(), [*messages(2)]
    first = logs.read("run", log)
    assert logs.read("other", log[:3]) == read_log(log[:3])

    for number in range(64):
        logs.read(f"run{number}", log)

    assert logs.read("run", log) == first
    assert logs.read("run", log) is not first


def test_bids_are_kept_until_they_are_decided() -> None:
    log = [*messages(1)]

    assert [[*read_log(log[:end]).bids] for end in (1, 2, 3, 4, 7, 8, 10)] == [[], ["a"], ["a"], [], [], ["b"], []]


def test_the_load_of_a_lot_is_held_until_its_winner_has_failed() -> None:
    def loads(log: Sequence[Message]) -> tuple[Decimal, Decimal]:
        auction = read_log(log)
        return auction.load_of("a"), auction.load_of("b")

    log, load = [*messages(3)], Decimal("0.1")

    assert [loads(log[:end]) for end in (3, 4, 6, 10, 12, 36)] == [
        (0, 0),
        (load, 0),
        (0, 0),
        (0, load),
        (0, load),
        (0, 3 * load),
    ]


@pytest.mark.parametrize("lot", ["lot0", "lot1"])
def test_what_a_failure_would_mean_changes_nothing(lot: str) -> None:
    log = [*messages(2)][:-2]
    auction = read_log(log)
    after = auction.with_failed({lot: "late"})

    assert auction == read_log(log)
    assert after.failed[lot] == {"a": "broken", "b": "late"}
    assert after.load_of("b") == Decimal("0.1")
