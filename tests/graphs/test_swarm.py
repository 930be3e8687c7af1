"""A swarm: peers send messages, hand over, negotiate, and come to an end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import pytest
from langchain_core.messages import AIMessage
from langgraph.types import Command, Send

from guardgraph.agents import Agent
from guardgraph.graphs import swarm
from guardgraph.guards import Authority, Depth, Limits, Schema
from guardgraph.state import BadGraph, Message, Outcome, Reply, Request
from tests.graphs.peers import Run, ask, gaps_of, hand_off, outcome_of, peers, state_of, to
from tests.graphs.teams import WAYS

# Messages


def flights(request: Request) -> Any:
    return f"fly to {request.messages[0].content}" if request.messages else ask("hotel", "which city?")


@pytest.mark.parametrize("way", WAYS)
def test_a_peer_asks_another_and_goes_on_with_its_answer(way: str) -> None:
    graph = swarm(peers(flights=flights, hotel=lambda request: "Rome")).compile()

    outcome = WAYS[way](graph, "plan a trip", None)

    assert (outcome.status, outcome.value, outcome.gaps) == ("completed", "fly to Rome", ())


def test_the_log_has_every_message_with_sender_id_and_what_it_answers() -> None:
    log: list[Message] = state_of(swarm(peers(flights=flights, hotel=lambda request: "Rome")))["log"]

    assert [(one.sender, one.recipients, one.performative) for one in log] == [
        ("flights", ("hotel",), "ask"),
        ("hotel", ("flights",), "inform"),
    ]
    assert log[1].in_reply_to == log[0].id
    assert len({one.id for one in log}) == 2


def test_all_that_is_pending_is_delivered_at_once_to_each_recipient() -> None:
    seen = list[list[str]]()

    def chief(request: Request) -> Any:
        if not request.messages:
            return Reply(messages=(Message(recipients=("*",), performative="ask", content="your part?"),))
        seen.append([message.sender for message in request.messages])
        return "whole"

    outcome = outcome_of(swarm(peers(chief=chief, **{name: lambda request: "part" for name in "abc"})))

    assert (outcome.value, seen) == ("whole", [["a", "b", "c"]])


def test_what_a_peer_keeps_is_given_to_it_alone() -> None:
    seen = list[tuple[str, Any]]()

    def a(request: Request) -> Any:
        seen.append(("a", request.memory))
        number = cast("int", request.memory or 0) + 1
        return Reply(memory=number, messages=(to("b", number, performative="ask"),)) if number < 3 else "done"

    def b(request: Request) -> Any:
        seen.append(("b", request.memory))
        return "go on"

    outcome = outcome_of(swarm(peers(a=a, b=b)))

    assert outcome.value == "done"
    assert seen == [("a", None), ("b", None), ("a", 1), ("b", None), ("a", 2)]


def test_a_peer_sees_no_result_of_the_others() -> None:
    seen = list[int]()

    def b(request: Request) -> str:
        seen.append(len(request.results))
        return "b"

    outcome_of(swarm(peers(a=lambda request: Reply(value="secret", messages=(to("b"),)), b=b)))

    assert seen == [0]


def test_a_second_task_of_a_thread_begins_anew() -> None:
    graph = swarm(peers(flights=flights, hotel=lambda request: "Rome"))
    from langgraph.checkpoint.memory import InMemorySaver

    compiled, config = graph.compile(checkpointer=InMemorySaver()), {"configurable": {"thread_id": "t"}}
    compiled.invoke({"task": "one"}, config)  # type: ignore[arg-type]
    outcome = compiled.invoke({"task": "two"}, config)["outcome"]  # type: ignore[arg-type]

    assert outcome.value == "fly to Rome"
    assert len(compiled.get_state(config).values["log"]) == 2  # type: ignore[arg-type]


def test_a_cached_answer_is_never_one_to_other_messages() -> None:
    from langgraph.cache.memory import InMemoryCache

    calls = list[object]()

    def b(request: Request) -> str:
        calls.append(request.messages[0].content)
        return f"answer to {request.messages[0].content}"

    def a(request: Request) -> Any:
        return ask("b", request.task.goal) if not request.messages else request.messages[0].content

    graph = swarm([Agent("a", run=a), Agent("b", run=b, cache=InMemoryCache[Any]())]).compile()
    answers = [graph.invoke({"task": {"goal": goal, "id": "t"}})["outcome"].value for goal in ("one", "two")]

    assert answers == ["answer to one", "answer to two"]
    assert calls == ["one", "two"]


# Handing over


@pytest.mark.parametrize(
    "over",
    [
        hand_off("b"),
        Command(goto="b", graph=Command.PARENT, update={"messages": [AIMessage("b knows better")]}),
    ],
)
def test_the_answer_is_that_of_the_peer_that_was_handed_over_to(over: Any) -> None:
    seen = list[Message]()

    def b(request: Request) -> str:
        seen.extend(request.messages)
        return "from b"

    outcome = outcome_of(swarm(peers(a=lambda request: over, b=b)))

    assert (outcome.status, outcome.value) == ("completed", "from b")
    assert [(one.sender, one.performative) for one in seen] == [("a", "hand_off")]


def test_several_handoffs_at_once_are_refused_with_the_reason() -> None:
    both = Reply(messages=(to("b", performative="hand_off"), to("c", performative="hand_off")))
    outcome = outcome_of(swarm(peers(a=lambda request: both, b=str, c=str)))

    assert (outcome.status, gaps_of(outcome)) == (
        "failed",
        [("a", "it hands over to several agents at once; hand over to one")],
    )


@pytest.mark.parametrize(
    ("over", "content"),
    [
        (Command(goto="b", graph=Command.PARENT, update=[("note", 1)]), {"text": "", "note": 1}),
        (Command(goto=Send("b", {"messages": [AIMessage("all of it")], "note": 1})), {"text": "all of it", "note": 1}),
    ],
)
def test_what_a_handoff_carries_is_delivered(over: Any, content: Any) -> None:
    outcome = outcome_of(swarm(peers(a=lambda request: over, b=lambda request: request.messages[0].content)))

    assert (outcome.status, outcome.value) == ("completed", content)


@pytest.mark.parametrize(
    ("over", "words"),
    [
        (Command(goto="zed", graph=Command.PARENT), "handoff to 'zed'"),
        (Command(goto="b", graph=Command.PARENT, update={"note": object()}), "no JSON"),
        (Reply(messages=(to("b", float("nan")),)), "no JSON"),
        (Reply(messages=(to("b", "\ud800"),)), "no JSON"),
        (Reply(messages=(to("b"),), memory=[float("inf")]), "no JSON"),
        (Reply(messages=(to("b").model_copy(update={"content": object()}),)), "not a valid JSON value"),
        (Reply(messages=(to("b").model_copy(update={"performative": "shout"}),)), "Input should be 'inform'"),
        (to("b"), "returned a `Message`: send it as `Reply(messages=…)`"),
        ([to("b"), to("b")], "returned a `Message`: send it as `Reply(messages=…)`"),
    ],
)
def test_what_cannot_be_sent_or_kept_goes_back_to_the_agent(over: Any, words: str) -> None:
    def a(request: Request) -> Any:
        return over if request.feedback is None else request.feedback

    outcome = outcome_of(swarm(peers(a=a, b=str)))

    assert outcome.status == "completed"
    assert words in str(outcome.value)


def test_a_handoff_to_no_peer_is_refused() -> None:
    outcome = outcome_of(swarm(peers(a=lambda request: Command(goto="zed", graph=Command.PARENT), b=str)))

    assert outcome.status == "failed"
    assert "handoff to 'zed'" in outcome.gaps[0].reason


@pytest.mark.parametrize(("window", "calls"), [(4, 4), (8, 8)])
def test_handoffs_that_go_round_are_ended(window: int, calls: int) -> None:
    seen = list[str]()

    def over(name: str, other: str) -> Run:
        def run(request: Request) -> Reply:
            seen.append(name)
            return Reply(messages=(to(other, f"note {len(seen)}", performative="hand_off"),))

        return run

    outcome = outcome_of(swarm(peers(a=over("a", "b"), b=over("b", "a")), window=window))

    assert (outcome.status, outcome.stopped_by) == ("failed", "Oscillation")
    assert len(seen) == calls


# Deadlock and its end


def test_peers_that_wait_for_each_other_are_a_deadlock() -> None:
    def first(request: Request) -> Any:
        return ask("b") if not request.messages else Reply(value=None)

    def second(request: Request) -> Any:
        return ask("a")

    state = state_of(swarm(peers(a=first, b=second)))
    outcome: Outcome = state["outcome"]

    assert (outcome.status, outcome.stopped_by) == ("failed", "Deadlock")
    assert outcome.reason == "each waits for an answer of the next: a -> b -> a"


def two_waiting() -> list[Agent]:
    def run(other: str) -> Run:
        def work(request: Request) -> Any:
            if any(message.sender == "team" for message in request.messages):
                return f"{request.path[-1]} decides"
            return ask(other) if request.round == 1 or request.path[-1] == "b" else Reply(value=None)

        return work

    return peers(a=run("b"), b=run("a"))


@pytest.mark.parametrize(
    ("tie_breaker", "status", "value"),
    [
        (None, "failed", None),
        (("a", "b"), "completed", "b decides"),
        (("b", "a"), "completed", "a decides"),
        ({"order": ["b", "a"]}, "completed", "a decides"),
        ({"answer": "a guess"}, "degraded", "a guess"),
        ({}, "failed", None),
    ],
)
def test_a_deadlock_is_ended(tie_breaker: Any, status: str, value: Any) -> None:
    both = two_waiting()
    by_name = {agent.name: agent for agent in both}
    given = [by_name[name] for name in tie_breaker] if isinstance(tie_breaker, tuple) else tie_breaker
    if isinstance(tie_breaker, dict):
        given = Agent("boss", run=lambda request: tie_breaker)
    state = state_of(swarm(both, tie_breaker=given))
    outcome: Outcome = state["outcome"]

    assert (outcome.status, outcome.value) == (status, value)
    assert state["control"]["tie"]["stopped_by"] == "Deadlock"
    assert [one.guard for one in state["verdicts"] if one.action == "trip"] == ["Deadlock"]


def test_a_provisional_answer_is_marked() -> None:
    outcome = outcome_of(swarm(two_waiting(), tie_breaker=Agent("boss", run=lambda request: {"answer": "a guess"})))

    assert gaps_of(outcome) == [("boss", "the answer is provisional")]


def test_a_tie_breaker_that_fails_leaves_a_provisional_answer() -> None:
    def fails(request: Request) -> Any:
        raise RuntimeError("no idea")

    outcome = outcome_of(swarm(two_waiting(), tie_breaker=Agent("boss", run=fails)))

    assert (outcome.status, outcome.stopped_by) == ("failed", "Deadlock")


def test_the_same_question_again_and_again_is_ended() -> None:
    calls = list[str]()

    def a(request: Request) -> Any:
        calls.append("a")
        return ask("b", "really?")

    outcome = outcome_of(swarm(peers(a=a, b=lambda request: "yes")))

    assert (outcome.status, outcome.stopped_by) == ("degraded", "Oscillation")
    assert len(calls) == 3


# Silent peers


def no_answer_from(request: Request) -> str:
    return cast("Any", request.messages[0].content)["no_answer_from"]


def test_a_peer_that_fails_is_routed_around() -> None:
    def a(request: Request) -> Any:
        return f"without {no_answer_from(request)}" if request.messages else ask("b")

    def b(request: Request) -> Any:
        raise ValueError("no")

    outcome = outcome_of(swarm(peers(a=a, b=b)))

    assert (outcome.status, outcome.value) == ("degraded", "without b")
    assert gaps_of(outcome) == [("b", "ValueError: no")]


def test_a_peer_that_does_not_answer_an_ask_is_not_waited_for() -> None:
    def a(request: Request) -> Any:
        return "alone" if request.messages else ask("b")

    def b(request: Request) -> Any:
        return Reply(messages=(to("c"),))

    outcome = outcome_of(swarm(peers(a=a, b=b, c=lambda request: "c")))

    assert (outcome.status, outcome.value) == ("completed", "alone")


def test_a_fallback_sends_in_the_name_of_its_peer() -> None:
    def fails(request: Request) -> Any:
        raise ValueError("no")

    spare = Agent("spare", run=lambda request: ask("b") if not request.messages else request.messages[0].content)
    graph = swarm([Agent("a", run=fails, fallback=spare), Agent("b", run=lambda request: "for a")])
    state = state_of(graph)

    assert (state["outcome"].status, state["outcome"].value) == ("completed", "for a")
    assert [(one.sender, one.recipients) for one in state["log"]] == [("a", ("b",)), ("b", ("a",))]


# Negotiation


def price(request: Request) -> int:
    return cast("Any", request.messages[-1].content)["price"]


def seller(request: Request) -> Any:
    if not request.messages:
        return Reply(messages=(to("buyer", {"price": 100}, performative="propose", commits={"usd": 100}),))
    offer = request.messages[-1]
    answer = (
        to("buyer", None, performative="accept", in_reply_to=offer.id)
        if price(request) >= 80
        else to("buyer", {"price": 90}, performative="counter", in_reply_to=offer.id)
    )
    return Reply(messages=(answer,))


def buyer(less: int) -> Run:
    def run(request: Request) -> Any:
        offer = {"price": price(request) - less}
        return Reply(messages=(to("seller", offer, performative="counter", in_reply_to=request.messages[-1].id),))

    return run


@pytest.mark.parametrize("acceptance", ["unanimous", "majority", ["seller", "buyer"], ["seller"]])
def test_the_value_is_the_proposal_that_is_accepted(acceptance: Any) -> None:
    state = state_of(swarm(peers(seller=seller, buyer=buyer(15)), acceptance=acceptance))

    if acceptance == ["seller"]:  # who accepts its own first proposal
        assert state["outcome"].value == {"price": 100}
    else:
        assert state["outcome"].value == {"price": 85}
        assert state["agreement"]["by"] == "acceptance"
        assert (state["agreement"]["proposer"], state["agreement"]["accepted"]) == ("buyer", ["buyer", "seller"])
    assert state["outcome"].status == "completed"


def test_a_negotiation_has_an_end() -> None:
    def haggle(name: str, other: str) -> Run:
        def run(request: Request) -> Any:
            number = request.round
            if not request.messages:
                return Reply(messages=(to(other, number, performative="propose"),))
            return Reply(messages=(to(other, number, performative="counter", in_reply_to=request.messages[-1].id),))

        return run

    state = state_of(swarm(peers(a=haggle("a", "b"), b=haggle("b", "a")), acceptance="unanimous", proposals=5))
    outcome: Outcome = state["outcome"]

    assert (outcome.status, outcome.stopped_by, outcome.value) == ("degraded", "Acceptance", 1)
    assert len(state["log"]) == 5
    assert "the negotiation has its 5 proposals" in {gap.reason for gap in outcome.gaps}


def test_a_tie_breaker_lets_a_proposal_hold() -> None:
    def decide(request: Request) -> Any:
        return {"proposal": request.results[-1].title}

    graph = swarm(
        peers(seller=seller, buyer=buyer(30)), acceptance="unanimous", proposals=4,
        tie_breaker=Agent("boss", run=decide), repeats=9,
    )  # fmt: skip
    state = state_of(graph)

    assert (state["agreement"]["by"], state["outcome"].value) == ("tie_breaker", {"price": 60})


def test_named_parties_that_fail_are_not_replaced() -> None:
    def fails(request: Request) -> Any:
        raise ValueError("no")

    def proposes(request: Request) -> Any:
        if request.messages:
            return Reply(value=None)
        return Reply(messages=(Message(recipients=("*",), performative="propose", content="plan"),))

    def accepts(request: Request) -> Any:
        return Reply(messages=(to("a", None, performative="accept", in_reply_to=request.messages[0].id),))

    by_all = outcome_of(swarm(peers(a=proposes, b=accepts, c=fails), acceptance="unanimous"))
    by_party = outcome_of(swarm(peers(a=proposes, b=accepts, c=fails), acceptance=["c"]))

    assert (by_all.status, by_all.value, gaps_of(by_all)) == ("degraded", "plan", [("c", "ValueError: no")])
    assert (by_party.status, by_party.stopped_by, by_party.value) == ("degraded", "Acceptance", "plan")


def test_nobody_commits_to_more_than_its_authority() -> None:
    calls = list[str | None]()

    def sells(request: Request) -> Any:
        calls.append(request.feedback)
        amount = 900 if request.feedback is None else 400
        return Reply(messages=(to("buyer", amount, performative="propose", commits={"usd": amount}),))

    def accepts(request: Request) -> Any:
        return Reply(messages=(to("seller", None, performative="accept", in_reply_to=request.messages[-1].id),))

    graph = swarm(
        peers(seller=sells, buyer=accepts), acceptance="unanimous",
        guards=[Depth(), Limits(messages=50), Authority({"seller": {"usd": 500}})],
    )  # fmt: skip
    state = state_of(graph)

    assert state["outcome"].value == 400
    assert calls == [None, "'seller' commits to 900 usd; its authority is 500"]
    assert state["log"][0].commits == {"usd": 400}


def test_no_copy_of_a_message_lowers_what_is_committed() -> None:
    def sells(request: Request) -> Any:
        if request.feedback is not None:
            return request.feedback
        less = to("b").model_copy(update={"commits": {"usd": -900}})
        return Reply(messages=(to("b", commits={"usd": 1200}), less))

    outcome = outcome_of(swarm(peers(a=sells, b=str), guards=[Schema(), Authority({"a": {"usd": 500}})]))

    assert "greater than or equal to 0" in str(outcome.value)


# Limits


def chatter(names: Sequence[str]) -> list[Agent]:
    def run(request: Request) -> Any:
        return Reply(value=len(request.messages), messages=(Message(recipients=("*",), content=request.round),))

    return [Agent(name, run=run) for name in names]


@pytest.mark.parametrize("most", [0, 1, 5, 30])
def test_messages_never_exceed_their_limit(most: int) -> None:
    state = state_of(swarm(chatter("abcd"), guards=[Limits(messages=most)]))
    sent = sum(len(message.recipients) for message in state["log"] if message.sender != "team")

    assert most - 3 < sent <= most or (most == 0 and sent == 0)
    assert state["outcome"].status == "degraded"
    assert {gap.guard for gap in state["outcome"].gaps} == {"Limits"}


def test_a_pair_and_a_peer_have_limits_of_their_own() -> None:
    pair = state_of(swarm(chatter("ab"), per_pair=6))
    peer = state_of(swarm(chatter("ab"), per_peer=2))

    assert len(pair["log"]) == 6
    assert len(peer["log"]) == 4
    assert "have exchanged the 6 messages that they may" in pair["outcome"].gaps[0].reason
    assert "has sent the 2 messages that it may" in peer["outcome"].gaps[0].reason


def test_the_limit_holds_for_nested_swarms_together() -> None:
    inner = Agent("inner", run=swarm(chatter("xy"), guards=[], name="inner", per_pair=None, per_peer=None).compile())
    outcome = outcome_of(swarm([inner, Agent("b", run=lambda request: "b")], guards=[Limits(messages=10)]))

    assert outcome.status == "degraded"
    assert any("messages" in gap.reason for gap in outcome.gaps)


# What does not fit


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"peers": []}, "at least two; got 0"),
        ({"peers": peers(a=str)}, "at least two; got 1"),
        ({"peers": peers(a=str, team=str)}, "cannot be called 'team'"),
        ({"peers": [Agent("a", run=str), Agent("*", run=str)]}, r"cannot be called '\*'"),
        ({"peers": peers(a=str) + peers(a=repr)}, "must be unique in a team, these are used twice: 'a'"),
        ({"start": Agent("z", run=str)}, "`start` names 'z', which is no peer; there are: a, b"),
        ({"start": []}, "`start` names no peer"),
        ({"tie_breaker": []}, "`tie_breaker` names no peer"),
        ({"tie_breaker": [Agent("z", run=str)]}, "`tie_breaker` names 'z', which is no peer"),
        ({"acceptance": "most"}, "'unanimous', 'majority' or names of peers, got 'most'"),
        ({"acceptance": ["z"]}, "needs 'z', which is no peer, so that nothing is ever accepted"),
        ({"acceptance": []}, "`acceptance` names no peer"),
        ({"proposals": 0}, "`proposals` must be at least 1"),
        ({"per_pair": 0}, "`per_pair` must be at least 1"),
        ({"window": 1}, "`window` must be at least 2"),
        ({"repeats": "3"}, "`repeats` must be"),
        ({"synthesizer": "writer"}, "`synthesizer` must be"),
    ],
)
def test_what_does_not_fit_is_named(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(BadGraph, match=words):
        swarm(**cast("Any", {"peers": peers(a=str, b=str), **arguments}))


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (to("zed"), "it sends a message to 'zed', which is none of its peers: 'b'"),
        (to("a"), "it sends a message to itself"),
        (to("b").model_copy(update={"sender": "c"}), "in the name of 'c'"),
    ],
)
def test_a_message_that_cannot_be_sent_goes_back_with_the_reason(message: Message, words: str) -> None:
    calls = list[str | None]()

    def a(request: Request) -> Any:
        calls.append(request.feedback)
        return Reply(messages=(message,)) if request.feedback is None else "right"

    outcome = outcome_of(swarm([Agent("a", run=a, attempts=2), Agent("b", run=str)]))

    assert (outcome.status, outcome.value) == ("completed", "right")
    assert words in (calls[1] or "")


def test_a_message_of_an_agent_whose_team_delivers_none_is_refused() -> None:
    from guardgraph.graphs import pipeline

    outcome = outcome_of(pipeline([Agent("a", run=lambda request: Reply(value=1, messages=(to("b"),)))]))

    assert outcome.status == "failed"
    assert "its team delivers none" in outcome.gaps[0].reason
