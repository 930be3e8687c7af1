"""What a negotiation takes for an acceptance: the answer of one who was asked, to a proposal that still stands."""

from __future__ import annotations

from typing import Any, cast

import pytest

from guardgraph.graphs import swarm
from guardgraph.state import Message, Reply, Request
from tests.graphs.peers import gaps_of, outcome_of, peers, state_of, to


def answer(to_: str, proposal: str, performative: Any = "accept", content: Any = None) -> Reply:
    return Reply(messages=(to(to_, content, performative=performative, in_reply_to=proposal),))


def proposes(request: Request) -> Any:
    return Reply(messages=() if request.messages else (to("b", "plan", performative="propose"),))


@pytest.mark.parametrize("performative", ["accept", "reject", "counter"])
def test_an_answer_to_no_proposal_is_returned_with_those_that_are_open(performative: Any) -> None:
    seen = list[Any]()

    def b(request: Request) -> Any:
        notices = [message for message in request.messages if message.sender == "team"]
        seen.extend(notice.content for notice in notices)
        return answer("a", cast("Any", notices[0].content)["open_proposals"][0] if notices else "nope", performative)

    state = state_of(swarm(peers(a=proposes, b=b), acceptance="unanimous"))

    assert [(one["not_sent"], one["in_reply_to"]) for one in seen] == [(performative, "nope")]
    assert sum(message.performative == performative for message in state["log"]) == 1
    if performative == "accept":
        assert (state["outcome"].status, state["outcome"].value) == ("completed", "plan")


def test_answers_to_no_proposal_again_and_again_are_a_gap() -> None:
    calls = list[int]()

    def b(request: Request) -> Any:
        calls.append(request.round)
        return answer("a", "nope")

    outcome = outcome_of(swarm(peers(a=proposes, b=b), acceptance="unanimous"))

    assert len(calls) == 3
    assert (outcome.status, outcome.stopped_by, outcome.value) == ("degraded", "Acceptance", "plan")
    assert any("'nope', which is no proposal that 'b' was sent" in reason for _, reason in gaps_of(outcome))


def test_only_those_who_were_sent_a_proposal_accept_it() -> None:
    def b(request: Request) -> Any:
        return Reply(messages=(to("c", request.messages[0].id),))

    def c(request: Request) -> Any:
        return answer("a", str(request.messages[0].content))

    state = state_of(swarm(peers(a=proposes, b=b, c=c), acceptance="majority"))

    assert (state["outcome"].status, state["agreement"]) == ("degraded", None)


@pytest.mark.parametrize("performative", ["counter", "reject"])
def test_a_proposal_that_its_own_sender_takes_back_is_not_accepted_any_more(performative: Any) -> None:
    def a(request: Request) -> Any:
        if not request.messages:
            return Reply(messages=(to("b", "first", performative="propose"), to("c", "tell me the id")))
        if request.messages[0].sender == "c":
            return answer("b", cast("Any", request.messages[0].content), performative, "second")
        return Reply(value=None)

    def b(request: Request) -> Any:
        last = request.messages[-1]
        if last.content == "first":
            return Reply(messages=(to("c", last.id),), memory=last.id)
        return answer("a", str(request.memory))

    def c(request: Request) -> Any:
        ids = [message.content for message in request.messages if message.sender == "b"]
        return Reply(messages=(to("a", ids[0]),)) if ids else Reply(value=None)

    state = state_of(swarm(peers(a=a, b=b, c=c), acceptance=["a", "b"]))

    assert state["agreement"] is None
    assert state["outcome"].stopped_by == "Acceptance"
    assert state["outcome"].value == ("second" if performative == "counter" else None)


def test_two_negotiations_at_once_are_kept_apart() -> None:
    def a(request: Request) -> Any:
        if request.messages:
            return Reply(value=None)
        return Reply(messages=(to("b", "one", performative="propose"), to("b", "two", performative="propose")))

    def b(request: Request) -> Any:
        first, second = request.messages
        no = Message(recipients=("a",), performative="reject", in_reply_to=first.id)
        return Reply(messages=(no, Message(recipients=("a",), performative="accept", in_reply_to=second.id)))

    state = state_of(swarm(peers(a=a, b=b), acceptance="unanimous"))

    assert (state["outcome"].status, state["outcome"].value) == ("completed", "two")


def test_an_acceptance_counts_also_where_its_proposer_has_failed_since() -> None:
    def a(request: Request) -> Any:
        if request.messages:
            raise ValueError("no")
        both = Message(recipients=("b", "c"), content="plan", performative="propose")
        return Reply(messages=(both,))

    def b(request: Request) -> Any:
        return answer("a", request.messages[0].id)

    def c(request: Request) -> Any:
        if request.messages[0].sender == "a":
            return Reply(messages=(to("c2", request.messages[0].id),), memory=request.messages[0].id)
        return answer("a", str(request.memory))

    def c2(request: Request) -> Any:
        return Reply(messages=(to("c", "now"),)) if request.round == 3 else Reply(value=None)

    state = state_of(swarm(peers(a=a, b=b, c=c, c2=c2), acceptance=["b", "c"]))

    assert state["agreement"]["accepted"] == ["a", "b", "c"]
    assert (state["outcome"].status, state["outcome"].value) == ("degraded", "plan")
