"""How a swarm ends: nothing asked is left open, nothing sent is lost, and a value counts only where it was given."""

from __future__ import annotations

from typing import Any, cast

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command, interrupt

from guardgraph.agents import Agent
from guardgraph.graphs import swarm
from guardgraph.state import Message, Outcome, Reply, Request
from tests.graphs.peers import Run, ask, gaps_of, hand_off, outcome_of, peers, state_of, to


def nothing(request: Request) -> Reply:
    return Reply(value=None)


def is_ordered(request: Request) -> bool:
    """Whether the team has ordered a peer to decide."""
    return any(message.sender == "team" for message in request.messages)


# What was asked


def test_what_is_sent_at_the_same_time_is_no_answer() -> None:
    def a(request: Request) -> Any:
        given = [message.content for message in request.messages]
        return f"b says {given}" if 42 in given else ask("b") if not given else Reply(value=None)

    def b(request: Request) -> Any:
        return Reply(messages=(to("a", "hello"),)) if not request.messages else 42

    both = peers(a=a, b=b)
    outcome = outcome_of(swarm(both, start=both))

    assert (outcome.status, outcome.value) == ("completed", "b says [42]")


def test_one_who_asks_and_answers_at_once_is_told_that_no_answer_comes() -> None:
    def a(request: Request) -> Any:
        return "alone" if request.messages else Reply(value="I wait", messages=(to("b", performative="ask"),))

    outcome = outcome_of(swarm(peers(a=a, b=nothing)))

    assert (outcome.status, outcome.value) == ("completed", "alone")


def test_a_reply_to_an_unknown_id_answers_what_was_asked() -> None:
    def a(request: Request) -> Any:
        return Reply(value=[one.content for one in request.messages], memory=1) if request.messages else ask("b")

    def b(request: Request) -> Any:
        return Reply(messages=(to("a", "mine", in_reply_to="the question"),))

    state = state_of(swarm(peers(a=a, b=b)))

    assert state["outcome"].value == ["mine"]
    assert [message.sender for message in state["log"]] == ["a", "b"], "and a is not told that no answer comes"


# The value


def test_an_answer_of_another_peer_is_a_value_with_a_gap() -> None:
    outcome = outcome_of(swarm(peers(a=lambda request: Reply(messages=(to("b"),)), b=lambda request: "a remark")))

    assert (outcome.status, outcome.value) == ("degraded", "a remark")
    assert gaps_of(outcome) == [("a", "it has not answered; the value is the answer of 'b'")]


def test_an_answer_from_before_a_handoff_is_not_that_of_the_handoff() -> None:
    def a(request: Request) -> Any:
        return ask("b") if not request.messages else hand_off("b")

    def b(request: Request) -> Any:
        return "a first thought" if request.messages[0].performative == "ask" else Reply(value=None)

    outcome = outcome_of(swarm(peers(a=a, b=b)))

    assert (outcome.status, outcome.value) == ("degraded", "a first thought")
    reason = "it has not answered since it was handed over to; the value is its earlier answer"
    assert gaps_of(outcome) == [("b", reason)]


# An imposed order


def stuck(other: str, then: Run) -> Run:
    """Return a peer that has an early answer, waits for another one, and does `then` in an imposed order."""

    def run(request: Request) -> Any:
        if is_ordered(request):
            return then(request)
        if request.round > 2:
            return Reply(value=None)
        value = "early" if request.round == 1 else None
        return Reply(value=value, messages=(to(other, request.round, performative="ask"),))

    return run


def test_an_order_in_which_the_last_does_not_decide_is_provisional() -> None:
    both = peers(a=stuck("b", nothing), b=stuck("a", nothing))

    outcome = outcome_of(swarm(both, start=both, tie_breaker=both))

    assert (outcome.status, outcome.stopped_by, outcome.value) == ("degraded", "Deadlock", "early")


def test_a_message_to_one_who_does_not_work_in_the_order_is_a_gap() -> None:
    def decides(request: Request) -> Any:
        return Reply(value="decided", messages=(to("c", "for you"),))

    three = peers(a=stuck("b", lambda request: "a"), b=stuck("a", decides), c=nothing)
    state = state_of(swarm(three, start=three[:2], tie_breaker=three[:2]))
    outcome: Outcome = state["outcome"]
    sent = next(message for message in state["log"] if message.content == "for you")

    assert (outcome.status, outcome.value) == ("degraded", "decided")
    assert gaps_of(outcome) == [(sent.id, "it was not delivered: 'c' does not work any more in the order")]


def test_what_is_pending_is_delivered_in_the_order() -> None:
    given = list[object]()

    def a(request: Request) -> Any:
        return Reply(messages=(to("b", "again", performative="ask"), to("c", request.round)))

    def c(request: Request) -> Any:
        given.extend(message.content for message in request.messages if message.sender == "a")
        return "decided" if is_ordered(request) else Reply(value=None)

    three = peers(a=a, b=lambda request: "yes", c=c)
    outcome = outcome_of(swarm(three, tie_breaker=[three[1], three[2]]))

    assert (outcome.status, outcome.value) == ("completed", "decided")
    assert given == [1, 3, 5]


@pytest.mark.parametrize("tie_breaker", [None, "b", Agent("boss", run=lambda request: {"answer": "enough"})])
def test_what_is_pending_when_a_conversation_is_broken_off_is_a_gap(tie_breaker: Any) -> None:
    def a(request: Request) -> Any:
        return Reply(messages=(to("b", "again", performative="ask"), to("c", request.round)))

    three = peers(a=a, b=lambda request: "yes", c=nothing)
    by = [three[1]] if tie_breaker == "b" else tie_breaker
    outcome = outcome_of(swarm(three, tie_breaker=by))

    lost = 1 if tie_breaker == "b" else 2
    assert outcome.status == "degraded"
    assert any(reason.startswith(f"{lost} message") and "not delivered" in reason for _, reason in gaps_of(outcome))


# The tie-breaker


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"proposal": "zzz"}, "names the proposal 'zzz', which does not exist"),
        ({}, "names no order, no proposal and no answer"),
        ({"verdict": 1}, "verdict: Extra inputs are not permitted"),
        ("a first", "Input should be a valid dictionary"),
    ],
)
@pytest.mark.parametrize("output", [None, Any])
def test_a_tie_breaker_is_given_back_what_cannot_be_used(answer: Any, words: str, output: Any) -> None:
    said = list[str | None]()

    def boss(request: Request) -> Any:
        said.append(request.feedback)
        return {"order": ["b"]} if request.feedback else answer

    def broken(request: Request) -> Any:
        return answer

    def circle(run: Run, attempts: int) -> Any:
        both = peers(a=stuck("b", nothing), b=stuck("a", lambda request: "decided"))
        return swarm(both, start=both, tie_breaker=Agent("boss", run=run, output=output, attempts=attempts))

    mended, left = outcome_of(circle(boss, 2)), outcome_of(circle(broken, 1))

    assert (mended.status, mended.value) == ("completed", "decided")
    assert words in str(said[1])
    assert (left.status, left.stopped_by, left.value) == ("degraded", "Deadlock", "early")
    assert any(subtask == "boss" and words in reason for subtask, reason in gaps_of(left))


def test_a_peer_that_fails_while_it_waits_does_not_hide_that_nothing_is_agreed() -> None:
    def a(request: Request) -> Any:
        if request.messages:
            raise ValueError("no")
        return Reply(messages=(to("b", performative="ask"), to("c", "plan", performative="propose")))

    def c(request: Request) -> Any:
        return Reply(messages=(to("a", "why?"),))

    boss = Agent("boss", run=lambda request: {"proposal": cast("Any", request.results[-1]).title})
    state = state_of(swarm(peers(a=a, b=nothing, c=c), acceptance="unanimous", tie_breaker=boss))

    assert (state["agreement"] or {}).get("by") == "tie_breaker"
    assert state["outcome"].value == "plan"


def test_a_synthesizer_is_given_what_was_agreed() -> None:
    seen = list[tuple[str, Any]]()

    def proposes(request: Request) -> Any:
        return Reply(messages=(to("b", {"price": 80}, performative="propose"),))

    def accepts(request: Request) -> Any:
        return Reply(messages=(to("a", None, performative="accept", in_reply_to=request.messages[0].id),))

    def write(request: Request) -> str:
        seen.extend((item.kind, item.value) for item in request.context)
        return "the contract"

    graph = swarm(peers(a=proposes, b=accepts), acceptance="unanimous", synthesizer=Agent("writer", run=write))
    outcome = outcome_of(graph)

    assert (outcome.status, outcome.value) == ("completed", "the contract")
    assert ("result", {"price": 80}) in seen


def test_a_synthesizer_is_given_the_proposals_of_which_none_is_accepted() -> None:
    seen = list[Any]()

    def write(request: Request) -> str:
        seen.extend(item.value for item in request.context)
        return "a report"

    def proposes(request: Request) -> Any:
        return Reply(messages=() if request.messages else (to("b", {"price": 80}, performative="propose"),))

    graph = swarm(peers(a=proposes, b=nothing), acceptance="unanimous", synthesizer=Agent("writer", run=write))
    outcome = outcome_of(graph)

    assert (outcome.status, outcome.stopped_by, outcome.value) == ("degraded", "Acceptance", "a report")
    assert {"price": 80} in seen


@pytest.mark.parametrize(("acceptance", "by"), [(["b"], None), (["a", "b", "c"], "Acceptance")])
def test_what_was_agreed_or_proposed_is_the_value_where_the_synthesizer_fails(acceptance: Any, by: str | None) -> None:
    def proposes(request: Request) -> Any:
        return Reply(messages=() if request.messages else (to("b", {"price": 80}, performative="propose"),))

    def accepts(request: Request) -> Any:
        return Reply(messages=(to("a", None, performative="accept", in_reply_to=request.messages[0].id),))

    def fails(request: Request) -> Any:
        raise ValueError("no")

    three = peers(a=proposes, b=accepts, c=nothing)
    outcome = outcome_of(swarm(three, acceptance=acceptance, synthesizer=Agent("writer", run=fails)))

    assert (outcome.status, outcome.stopped_by) == ("degraded", by)
    assert {"subtask": "proposal", "agent": "a", "value": {"price": 80}} in cast("Any", outcome.value)


@pytest.mark.parametrize("performative", ["inform", "ask", "hand_off"])
def test_a_message_to_a_peer_that_was_removed_while_the_run_waited_is_a_gap(performative: Any) -> None:
    def a(request: Request) -> Any:
        return "a" if request.messages else Reply(value="a", messages=(to("c", performative=performative),))

    def b(request: Request) -> Any:
        return interrupt("may I?")

    saver, config = InMemorySaver(), {"configurable": {"thread_id": "t"}}
    first = swarm(peers(a=a, b=b, c=nothing), start=peers(a=a, b=b)).compile(checkpointer=saver)
    second = swarm(peers(a=a, b=b), start=peers(a=a, b=b)).compile(checkpointer=saver)
    first.invoke({"task": "the task"}, cast("Any", config))
    outcome: Outcome = second.invoke(Command(resume="yes"), cast("Any", config))["outcome"]

    assert outcome.status == "degraded"
    assert any(reason == "it was not delivered: 'c' is no peer any more" for _, reason in gaps_of(outcome))


def test_the_log_has_the_messages_of_one_delivery_together() -> None:
    def a(request: Request) -> Any:
        both = (to("b", 1, performative="ask"), to("b", 2))
        return Reply(messages=both) if not request.messages else "done"

    log: list[Message] = state_of(swarm(peers(a=a, b=lambda request: [one.content for one in request.messages])))["log"]

    assert log[-1].content == [1, 2], "a peer is given messages in the order in which they were sent"


def test_one_who_hands_over_to_a_peer_that_fails_goes_on() -> None:
    calls = list[Any]()

    def a(request: Request) -> Any:
        calls.append([message.content for message in request.messages])
        return "without b" if request.messages else hand_off("b")

    def b(request: Request) -> Any:
        raise ValueError("no")

    outcome = outcome_of(swarm(peers(a=a, b=b)))

    assert (outcome.status, outcome.value) == ("degraded", "without b")
    assert gaps_of(outcome) == [("b", "ValueError: no")]
    assert [len(given) for given in calls] == [0, 1]


def test_a_handoff_that_was_answered_is_not_given_back_when_its_peer_fails_later() -> None:
    def a(request: Request) -> Any:
        return hand_off("b") if not request.messages else "an answer of a"

    def b(request: Request) -> Any:
        if request.messages[0].performative != "hand_off":
            raise ValueError("no")
        return Reply(value="an answer of b", messages=(to("a", performative="ask"),))

    state = state_of(swarm(peers(a=a, b=b)))

    assert (state["outcome"].status, state["outcome"].value) == ("degraded", "an answer of b")
    assert "team" not in {message.sender for message in state["log"]}
