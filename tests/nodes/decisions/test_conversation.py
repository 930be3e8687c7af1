"""Who waits for whom, what goes in circles, and what a rule accepts: pure decisions about a log of messages."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardgraph.nodes.decisions.conversation import (
    TEAM,
    OpenAsk,
    circle_of,
    implied_replies,
    no_answer,
    open_asks,
    repeated_handoffs,
    repeated_message,
    returned_handoff,
)
from guardgraph.nodes.decisions.negotiation import agreed, is_accepted, proposals_of
from guardgraph.state import Message, Result

NAMES = "abcd"


def said(id_: str, sender: str, *recipients: str, **fields: Any) -> Message:
    given: dict[str, Any] = {"performative": "ask", **fields}
    return Message(id=id_, sender=sender, recipients=recipients, **given)


def still_open(*log: Message) -> list[tuple[str, str]]:
    return [(ask.message.id, ask.recipient) for ask in open_asks(log)]


ASK = said("1", "a", "b", "c")


@pytest.mark.parametrize(
    ("answers", "left"),
    [
        ([], [("1", "b"), ("1", "c")]),
        ([said("2", "b", "a", performative="inform", in_reply_to="1")], [("1", "c")]),
        ([said("2", "b", "a", performative="inform")], [("1", "c")]),
        ([said("2", "b", "a", performative="inform", in_reply_to="9")], [("1", "b"), ("1", "c")]),
        ([said("2", "b", "a")], [("1", "b"), ("1", "c"), ("2", "a")]),
        ([said("2", "d", "a", performative="inform", in_reply_to="1")], [("1", "b"), ("1", "c")]),
        ([no_answer(OpenAsk(ASK, "c"))], [("1", "b")]),
        ([no_answer(OpenAsk(ASK, "c")), no_answer(OpenAsk(ASK, "b"))], []),
    ],
)
def test_what_was_asked_and_not_answered(answers: list[Message], left: list[tuple[str, str]]) -> None:
    assert still_open(ASK, *answers) == left


def test_a_notice_comes_from_the_team_to_the_one_who_asked() -> None:
    notice = no_answer(OpenAsk(ASK, "c"))

    assert (notice.sender, notice.recipients, notice.in_reply_to) == (TEAM, ("a",), "1")
    assert notice.id != no_answer(OpenAsk(ASK, "b")).id


def test_a_value_answers_each_ask_that_no_message_answers() -> None:
    asks = [OpenAsk(said("1", "a", "d"), "d"), OpenAsk(said("2", "b", "d"), "d"), OpenAsk(said("3", "a", "d"), "d")]
    result = Result(id="r", agent="d", value=42)
    sent = [said("4", "d", "b", performative="inform", in_reply_to="2")]

    replies = implied_replies(result, sent, asks)

    assert [(one.recipients, one.in_reply_to, one.content) for one in replies] == [(("a",), "1", 42), (("a",), "3", 42)]
    assert implied_replies(result.model_copy(update={"value": None}), sent, asks) == []


@pytest.mark.parametrize(
    ("waits", "circle"),
    [
        ("", []),
        ("ab", []),
        ("ab bc", []),
        ("ab ba", ["a", "b"]),
        ("ab bc ca", ["a", "b", "c"]),
        ("ab bc cb", ["b", "c"]),
        ("da ab ac cd", ["a", "c", "d"]),
    ],
)
def test_a_circle_of_those_who_wait(waits: str, circle: list[str]) -> None:
    asks = [OpenAsk(said(str(n), one[0], one[1]), one[1]) for n, one in enumerate(waits.split())]

    assert circle_of(asks) == circle


@given(st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES)).filter(lambda pair: pair[0] != pair[1])))
def test_a_circle_is_found_where_there_is_one(pairs: list[tuple[str, str]]) -> None:
    from graphlib import CycleError, TopologicalSorter

    graph: dict[str, set[str]] = {}
    for one, other in pairs:
        graph.setdefault(one, set()).add(other)
    try:
        TopologicalSorter(graph).prepare()
        is_free = True
    except CycleError:
        is_free = False

    circle = circle_of([OpenAsk(said(str(n), one, other), other) for n, (one, other) in enumerate(pairs)])

    assert (circle == []) == is_free
    assert all(following in graph[name] for name, following in zip(circle, [*circle[1:], *circle[:1]], strict=True))


def handed(route: str) -> list[Message]:
    return [said(str(n), *pair, performative="hand_off") for n, pair in enumerate(pairwise(route))]


@pytest.mark.parametrize(
    ("route", "found"),
    [("abab", []), ("ababa", ["a", "b"]), ("abcabcabc", []), ("abcdabab", []), ("abcdababa", ["a", "b"])],
)
def test_handoffs_among_too_few(route: str, found: list[str]) -> None:
    assert repeated_handoffs(handed(route), window=4, distinct=3) == found


@pytest.mark.parametrize(
    ("route", "found"),
    [
        ("ab", ""),
        ("aba", "aba"),
        ("abc", ""),
        ("abca", "abca"),
        ("xabca", "abca"),
        ("abcb", "bcb"),
        ("abcdea", "abcdea"),
    ],
)
def test_the_same_work_that_comes_back_by_handoffs(route: str, found: str) -> None:
    log = [one.model_copy(update={"content": {"ticket": 7}}) for one in handed(route)]

    assert "".join(returned_handoff(log)) == found
    assert returned_handoff([one.model_copy(update={"content": None}) for one in log]) == []
    assert returned_handoff([*log, said("i", "a", "b", performative="inform")]) == []


@pytest.mark.parametrize("place", [0, 1])
def test_other_work_and_what_is_added_make_no_cycle_of_handoffs(place: int) -> None:
    log = [one.model_copy(update={"content": "x"}) for one in handed("aba")]
    other = [one.model_copy(update={"content": n}) if n == place else one for n, one in enumerate(log)]

    assert returned_handoff(log) == ["a", "b", "a"]
    assert returned_handoff(other) == []
    assert returned_handoff([log[0], said("i", "b", "a", performative="inform"), log[1]]) == []


def test_the_same_question_counts_and_an_answer_does_not() -> None:
    log = [said(str(n), "a", "b", content="why") for n in range(3)]
    answers = [said(f"i{n}", "b", "a", content="so", performative="inform") for n in range(9)]

    assert repeated_message(log, {"2"}, times=3) == log[2]
    assert repeated_message(log, {"2"}, times=4) is None
    assert repeated_message(log, set(), times=3) is None
    assert repeated_message(answers, {"i8"}, times=3) is None


def negotiated(*answers: Message) -> Any:
    offer = said("p", "a", "b", "c", performative="propose", content=1)
    return proposals_of([offer, *answers])[0]


def answer(sender: str, performative: str, to: str = "p") -> Message:
    return said(f"{sender}-{performative}", sender, "a", performative=performative, in_reply_to=to)


@pytest.mark.parametrize(
    ("answers", "unanimous", "majority", "parties"),
    [
        ([], False, False, False),
        ([answer("b", "accept")], False, True, False),
        ([answer("b", "accept"), answer("c", "accept")], True, True, True),
        ([answer("b", "accept"), answer("c", "accept"), answer("c", "reject")], False, True, False),
        ([answer("b", "accept"), answer("c", "counter")], False, True, False),
        ([answer("c", "accept")], False, True, True),
        ([answer("c", "accept", to="q")], False, False, False),
    ],
)
def test_rules_of_acceptance(answers: list[Message], unanimous: bool, majority: bool, parties: bool) -> None:
    proposal = negotiated(*answers)

    assert is_accepted(proposal, "unanimous", set("abc")) == unanimous
    assert is_accepted(proposal, "majority", set("abc")) == majority
    assert is_accepted(proposal, ("a", "c"), set("abc")) == parties


def test_those_who_do_not_answer_have_no_vote_and_a_proposer_alone_is_no_agreement() -> None:
    assert is_accepted(negotiated(answer("b", "accept")), "unanimous", {"a", "b"})
    assert not is_accepted(negotiated(), "unanimous", {"a"})


def test_the_first_proposal_that_is_accepted_holds() -> None:
    log = [
        said("1", "a", "b", performative="propose", content=1),
        said("2", "b", "a", performative="counter", content=2, in_reply_to="1"),
        said("3", "a", "b", performative="accept", in_reply_to="2"),
    ]
    found = agreed(proposals_of(log), "unanimous", {"a", "b"})

    assert found is not None
    assert found.message.content == 2
