"""What the outcome of a consensus is, whoever fails, in which way, and when the time or the budget ends."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from guardgraph.agents import Agent
from guardgraph.graphs import consensus, majority, plurality
from guardgraph.guards import Budget, Deadline, Depth, Escalate, Guard, GuardContext, guard
from guardgraph.models.offline import ScriptedModel
from guardgraph.state import Outcome, Request
from tests.graphs.panels import Sent, outcome_of

MODEL = ScriptedModel(replies=lambda _: "again", input_tokens=10, output_tokens=10)


def raises(request: Request) -> Any:
    raise ValueError("it cannot be done")


def hangs(request: Request) -> Any:
    time.sleep(30)


def garbage(request: Request) -> Any:
    return {"unexpected": [1]}


def loops(request: Request) -> Any:
    while True:  # only the budget ends it
        MODEL.invoke("go on", max_tokens=10)


BEHAVIOURS: dict[str, Callable[[Request], Any]] = {"raises": raises, "hangs": hangs, "garbage": garbage, "loops": loops}


def failing(name: str, behaviour: str) -> Agent:
    return Agent(name, run=BEHAVIOURS[behaviour], timeout=0.2 if behaviour == "hangs" else None)


def one_panelist(behaviour: str) -> Any:
    panel = [*Sent().panel("a", "a", "b"), failing("failing", behaviour)]
    return consensus(panel, answer=str, vote=plurality, guards=guards(behaviour))


def all_panelists(behaviour: str) -> Any:
    panel = [failing(f"failing_{number}", behaviour) for number in range(3)]
    return consensus(panel, answer=str, vote=plurality, guards=guards(behaviour))


def below_quorum(behaviour: str) -> Any:
    panel = [*Sent().panel("a"), *(failing(f"failing_{number}", behaviour) for number in range(2))]
    return consensus(panel, answer=str, vote=plurality, guards=guards(behaviour))


def the_judge(behaviour: str) -> Any:
    panel = Sent().panel("a", "a", "b")
    return consensus(panel, answer=str, judge=failing("failing", behaviour), guards=guards(behaviour))


def the_judge_of_a_tie(behaviour: str) -> Any:
    panel, judge = Sent().panel("a", "b"), failing("failing", behaviour)
    return consensus(panel, answer=str, judge=judge, guards=guards(behaviour))


def the_judge_before_a_tie_breaker(behaviour: str) -> Any:
    sent = Sent()
    chair = sent.agent("chair", lambda request: next(item.title for item in request.results if item.value == "b"))
    judge = failing("failing", behaviour)
    return consensus(sent.panel("a", "b"), answer=str, judge=judge, tie_breaker=chair, guards=guards(behaviour))


def the_tie_breaker(behaviour: str) -> Any:
    panel, chair = Sent().panel("a", "b"), failing("failing", behaviour)
    return consensus(panel, answer=str, vote=plurality, tie_breaker=chair, guards=guards(behaviour))


def the_single_agent(behaviour: str) -> Any:
    single = failing("failing", behaviour)
    panel = Sent().panel("a", "a")
    return consensus(panel, answer=str, vote=majority, stakes=lambda _: "low", single=single, guards=guards(behaviour))


def guards(behaviour: str) -> list[Guard]:
    return [Depth(), Budget(calls=10)] if behaviour == "loops" else [Depth()]


def summary(outcome: Outcome) -> tuple[Any, ...]:
    value = [item["value"] for item in outcome.value] if isinstance(outcome.value, list) else outcome.value  # type: ignore[call-overload, index]
    confidence = None if outcome.confidence is None else round(outcome.confidence, 3)
    return outcome.status, value, confidence, outcome.stopped_by, len(outcome.gaps)


# status, value, confidence, stopped_by, gaps; where an agent loops until the budget is spent, that guard stops it
TABLE: dict[Callable[[str], Any], dict[str, tuple[Any, ...]]] = {
    one_panelist: {"": ("degraded", "a", 0.5, None, 1), "loops": ("degraded", "a", 0.5, "Budget", 1)},
    all_panelists: {"": ("failed", None, None, None, 3), "loops": ("failed", None, None, "Budget", 3)},
    below_quorum: {"": ("escalated", ["a"], None, "quorum", 2)},
    the_judge: {"": ("degraded", "a", 0.667, None, 1), "loops": ("degraded", "a", 0.667, "Budget", 1)},
    the_judge_of_a_tie: {
        "": ("escalated", ["a", "b"], None, "tie", 1),
        "loops": ("escalated", ["a", "b"], None, "Budget", 1),
    },
    the_judge_before_a_tie_breaker: {
        "": ("degraded", "b", 0.5, None, 1),
        "loops": ("escalated", ["a", "b"], None, "Budget", 1),  # nothing is left for the tie-breaker
    },
    the_tie_breaker: {
        "": ("escalated", ["a", "b"], None, "tie", 1),
        "loops": ("escalated", ["a", "b"], None, "Budget", 1),
    },
    the_single_agent: {"": ("degraded", "a", 1.0, None, 1), "loops": ("failed", None, None, "Budget", 1)},
}


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
@pytest.mark.parametrize("build", TABLE, ids=lambda build: build.__name__)
def test_whoever_fails_the_outcome_names_it(build: Callable[[str], Any], behaviour: str) -> None:
    began = time.monotonic()
    outcome = outcome_of(build(behaviour))

    assert summary(outcome) == TABLE[build].get(behaviour, TABLE[build][""])
    assert all((gap.agent or "").startswith("failing") and gap.reason for gap in outcome.gaps)
    assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    ("late", "summed_up"),
    [
        ("b", ("degraded", "a", 0.5, 1)),  # the vote counts what is back
        ("", ("escalated", ["a", "b"], None, 1)),
    ],
)
def test_at_the_deadline_the_vote_counts_what_is_back(late: str, summed_up: tuple[Any, ...]) -> None:
    answers = ["a", "a", late] if late else ["a", "b"]
    panel = [*Sent().panel(*answers), Agent("slow", run=hangs, attempts=2)]
    began = time.monotonic()
    outcome = outcome_of(consensus(panel, vote=plurality, tie_breaker=Agent("tie", run=str), guards=[Deadline(1)]))
    status, value, confidence, stopped_by, gaps = summary(outcome)

    assert (status, value, confidence, gaps) == summed_up
    assert stopped_by == "Deadline"
    assert time.monotonic() - began < 3


def test_a_judge_is_not_asked_after_the_deadline_and_most_support_wins() -> None:
    sent = Sent()
    panel = [*sent.panel("a", "b", "a"), Agent("slow", run=hangs)]
    outcome = outcome_of(consensus(panel, judge=sent.judge("b"), guards=[Deadline(1)]))

    assert summary(outcome) == ("degraded", "a", 0.5, "Deadline", 1)
    assert sent.to("judge") == []


def test_a_debate_ends_at_the_deadline_with_the_latest_answers() -> None:
    sent = Sent()
    panel = [sent.says("p0", "a"), sent.says("p1", "a"), sent.says("p2", "b")]
    slow = Agent("slow", run=lambda request: hangs(request) if request.round > 1 else "b")
    outcome = outcome_of(consensus([*panel, slow], vote=plurality, rounds=9, guards=[Deadline(1)]))

    assert outcome.status == "escalated"
    assert outcome.reason.startswith("2 candidates are tied")
    assert [(gap.agent, gap.round) for gap in outcome.gaps] == [("slow", 2)]


def test_a_guard_that_stops_the_judge_leaves_the_decision_to_support() -> None:
    @guard(at="dispatch")
    def no_judges(view: GuardContext) -> str | None:
        return "no judges" if view.agent is not None and view.agent.name == "judge" else None

    sent = Sent()
    outcome = outcome_of(consensus(sent.panel("a", "b", "a"), judge=sent.judge("b"), guards=[no_judges]))

    assert summary(outcome) == ("degraded", "a", 0.667, "no_judges", 1)


@pytest.mark.parametrize(
    ("answers", "by"), [(("a", "a", "b"), ("degraded", "a", 0.667)), (("a", "b", "c"), ("escalated", None, None))]
)
def test_a_guard_that_stops_the_second_round_leaves_the_decision_to_the_first(answers: Any, by: Any) -> None:
    @guard(at="dispatch")
    def one_round(view: GuardContext) -> str | None:
        return "one round is enough" if view.state["round"] > 1 else None

    outcome = outcome_of(consensus(Sent().panel(*answers), vote=majority, rounds=3, guards=[one_round]))
    value = outcome.value if outcome.status == "degraded" else None

    assert (outcome.status, value, outcome.confidence and round(outcome.confidence, 3)) == by
    assert [gap.reason for gap in outcome.gaps] == ["one round is enough"] * 3


def test_a_guard_that_escalates_ends_the_run_at_the_judge() -> None:
    @guard(at="dispatch", on_trip=Escalate())
    def no_judges(view: GuardContext) -> str | None:
        return "no judges" if view.agent is not None and view.agent.name == "judge" else None

    sent = Sent()
    outcome = outcome_of(consensus(sent.panel("a", "b", "a"), judge=sent.judge("b"), guards=[no_judges]))

    assert (outcome.status, outcome.stopped_by) == ("escalated", "no_judges")


def test_a_small_recursion_limit_ends_in_an_outcome() -> None:
    sent = Sent()
    graph = consensus(sent.panel("a", "b", "a"), judge=sent.judge("b")).compile()
    outcome = graph.invoke({"task": "Is it acceptable?"}, {"recursion_limit": 5})["outcome"]

    assert summary(outcome) == ("degraded", "a", 0.667, "recursion_limit", 0)


def test_an_unusable_judgement_leaves_the_decision_to_support() -> None:
    judge = Agent("judge", run=lambda request: {"scores": []})
    outcome = outcome_of(consensus(Sent().panel("a", "b", "a"), judge=judge))

    assert summary(outcome) == ("degraded", "a", 0.667, None, 1)
    assert outcome.gaps[0].reason.startswith("score each candidate on each criterion")


def test_a_fallback_answers_for_a_panelist_and_nothing_is_missing_in_the_vote() -> None:
    spare = Agent("spare", run=lambda request: "a")
    panel = [*Sent().panel("a", "b"), Agent("failing", run=raises, fallback=spare)]
    outcome = outcome_of(consensus(panel, vote=majority))

    assert (outcome.status, outcome.value, outcome.gaps) == ("completed", "a", ())
    assert outcome.confidence == pytest.approx(2 / 3)
