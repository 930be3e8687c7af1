"""What the answers of a panel come to: candidates, labels, support, confidence, convergence."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langgraph.errors import GraphInterrupt

from guardgraph.agents import Agent
from guardgraph.graphs import VoteCount, approval, majority, plurality, schulze
from guardgraph.nodes.decisions.ballots import canonical
from guardgraph.nodes.decisions.panel import confidence_of, has_converged, latest_answers, vote_of
from guardgraph.state import Result


def answer(agent: str, value: Any, confidence: float | None = None, round_: int = 1) -> Result:
    return Result(id=f"{agent}/{round_}", agent=agent, value=value, confidence=confidence, round=round_)


def answers(*values: Any) -> list[Result]:
    return [answer(f"p{number}", value) for number, value in enumerate(values)]


def test_the_labels_depend_on_the_seed_and_not_on_who_has_answered() -> None:
    values = ["x", "y", "z", "x"]

    def seeded(seed: str) -> Any:
        return vote_of(answers(*values), rule=None, key=None, seed=seed)

    one, other = seeded("run 1"), vote_of(answers(*reversed(values)), rule=None, key=None, seed="run 1")
    orders = {tuple(candidate.value for candidate in seeded(str(seed)).candidates) for seed in range(50)}

    assert [(item.label, item.value) for item in one.candidates] == [
        (item.label, item.value) for item in other.candidates
    ]
    assert [item.label for item in one.candidates] == ["A", "B", "C"]
    assert len(orders) == 6  # every order occurs


def test_a_candidate_is_given_without_names_and_without_numbers() -> None:
    vote = vote_of(answers("x", "x", "y"), rule=None, key=None, seed="s")

    assert sorted(len(candidate.supporters) for candidate in vote.candidates) == [1, 2]
    assert {(one.context.sender, one.context.subtask, one.context.title) for one in vote.candidates} == {
        ("", None, "A"),
        ("", None, "B"),
    }


def test_the_most_confident_supporter_speaks_for_a_choice() -> None:
    given = [answer("p0", {"ok": 1, "why": "a"}, 0.2), answer("p1", {"ok": 1, "why": "b"}, 0.9)]
    (candidate,) = vote_of(given, rule=plurality, key=lambda value: value["ok"], seed="s").candidates

    assert candidate.value == {"ok": 1, "why": "b"}


@pytest.mark.parametrize(
    ("rule", "values", "winner", "support"),
    [
        (majority, ["a", "b", "a"], "a", 2),
        (majority, ["a", "b"], None, 0),
        (approval, [["a", "b"], ["b"], ["c"]], "b", 2),
        (schulze, [["a", "b"], ["b", "a"], ["c", "b"]], "b", 1),
        (None, ["a", "a"], "a", 2),
        (None, ["a", "b", "a"], None, 0),
    ],
)
def test_supporters_are_those_who_choose_approve_or_rank_first(
    rule: Any, values: list[Any], winner: Any, support: int
) -> None:
    found = vote_of(answers(*values), rule=rule, key=None, seed="s").winner

    assert (found and found.value) == winner
    assert (len(found.supporters) if found else 0) == support


def test_what_the_key_cannot_read_is_no_ballot() -> None:
    vote = vote_of(answers({"ok": 1}, "yes"), rule=plurality, key=lambda value: value["ok"], seed="s")

    assert [result.agent for result in vote.answers] == ["p0"]
    assert [result.agent for result, _ in vote.unreadable] == ["p1"]
    assert "no valid ballot: TypeError" in vote.unreadable[0][1]


@pytest.mark.parametrize(
    "returned",
    [None, "a", VoteCount(("a",)), VoteCount(('"a"', '"c"')), VoteCount(cast("Any", ['"a"']))],
    ids=repr,
)
def test_a_rule_that_returns_no_count_of_the_ballots_is_at_fault(returned: Any) -> None:
    with pytest.raises(TypeError, match="a voting rule returns a `VoteCount` that names its winners by their keys"):
        vote_of(answers("a", "b", "a"), rule=lambda ballots, *, key=None: returned, key=None, seed="s")


def test_a_rule_is_not_asked_where_nobody_has_answered() -> None:
    def first(ballots: Iterable[Any], *, key: Any = None) -> VoteCount:
        return VoteCount((canonical(next(iter(ballots)).value, key),))

    assert vote_of([], rule=first, key=None, seed="s").winner is None
    assert vote_of(answers("a"), rule=first, key=None, seed="s").winner is not None


def test_an_interrupt_of_a_key_is_none_of_its_failures() -> None:
    def asks(value: Any) -> Any:
        raise GraphInterrupt

    with pytest.raises(GraphInterrupt):
        vote_of(answers("a"), rule=plurality, key=asks, seed="s")


def test_the_latest_answer_counts_and_a_fallback_answers_for_its_agent() -> None:
    panel = [Agent("p0", run=str, fallback=Agent("spare", run=str)), Agent("p1", run=str)]
    given = [answer("p1", 1), answer("spare", 2), answer("judge", 3), answer("p1", 4, round_=2)]

    assert [result.value for result in latest_answers(given, panel)] == [2, 4]


@pytest.mark.parametrize(
    ("before", "now", "converged"),
    [([], "aaa", True), ([], "aab", False), ("aab", "aab", True), ("aab", "abb", False), ("ab", "aba", False)],
)
def test_another_round_is_pointless_once_all_agree_or_nobody_moves(before: str, now: str, converged: bool) -> None:
    assert has_converged(answers(*before), answers(*now), rule=majority, key=None) is converged


@pytest.mark.parametrize(
    ("strength", "stated", "answered", "panel_size", "confidence"),
    [
        (1.0, [None, None], 3, 3, 1.0),
        (1.0, [None, None], 2, 3, 2 / 3),  # one has failed
        (2 / 3, [None, None], 3, 3, 2 / 3),  # one dissents: the same
        (1.0, [0.5, 0.7], 3, 3, 0.6),
        (1.0, [0.5, None], 3, 3, 0.5),
        (0.0, [], 3, 3, 0.0),
    ],
)
def test_confidence_is_strength_times_the_part_that_answered_times_what_they_state(
    strength: float, stated: list[float | None], answered: int, panel_size: int, confidence: float
) -> None:
    supporters = [answer(str(number), 1, given) for number, given in enumerate(stated)]

    assert confidence_of(strength, supporters, answered=answered, panel_size=panel_size) == pytest.approx(confidence)


@given(st.integers(1, 9), st.data())
def test_each_agent_that_fails_lowers_the_confidence(asked: int, data: Any) -> None:
    answered = data.draw(st.integers(1, asked))
    supporting = data.draw(st.integers(1, answered))
    whole = confidence_of(supporting / asked, [], answered=asked, panel_size=asked)
    failed = confidence_of(supporting / answered, [], answered=answered, panel_size=asked)

    assert failed == pytest.approx(whole) == pytest.approx(supporting / asked)
