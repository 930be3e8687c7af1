"""A panel answers independently; a vote, a blind judge or a tie-breaker decides, and dissent is kept."""

from __future__ import annotations

from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from pydantic import BaseModel

from guardgraph.agents import Agent
from guardgraph.graphs import (
    Rubric,
    approval,
    borda,
    confidence_weighted,
    consensus,
    majority,
    plurality,
    schulze,
    supermajority,
    supervisor,
)
from guardgraph.guards import Convergence, Depth, GuardContext, Retry, guard
from guardgraph.state import BadGraph, ContextItem, Plan, Request, Subtask, Task
from tests.graphs.panels import Sent, final_state, outcome_of, sure


class Ruling(BaseModel):
    """What panelists answer about a clause."""

    acceptable: bool
    why: str = ""


# A vote decides


@pytest.mark.parametrize(
    ("rule", "answers", "value", "confidence", "dissent"),
    [
        (plurality, ["a", "b", "a", "c"], "a", 0.5, ("b", "c")),
        (majority, ["a", "b", "a"], "a", 2 / 3, ("b",)),
        (supermajority(), ["a", "a", "b"], "a", 2 / 3, ("b",)),
        (confidence_weighted, [sure("a", 0.9), sure("b", 0.3), sure("b", 0.4)], "a", 0.9 / 3, ("b", "b")),
        (approval, [["a", "b"], ["b"], ["c"]], "b", 2 / 3, ({"approved": ["c"]},)),
        (borda, [["a", "b"], ["b", "a"], ["b"]], "b", 2 / 3, ({"ranking": [["a"], ["b"]]},)),
        (schulze, [["a", ["b", "c"]], ["a", "c"], ["b"]], "a", 2 / 3, ({"ranking": [["b"]]},)),
        (majority, ["a", "a", "a"], "a", 1.0, ()),
    ],
)
def test_the_voting_rule_elects_the_value(
    rule: Any, answers: list[Any], value: Any, confidence: float, dissent: tuple[Any, ...]
) -> None:
    outcome = outcome_of(consensus(Sent().panel(*answers), vote=rule))

    assert (outcome.status, outcome.value, outcome.dissent) == ("completed", value, dissent)
    assert outcome.confidence == pytest.approx(confidence)


def test_answers_are_compared_under_their_schema_and_by_a_key() -> None:
    answers = [{"acceptable": True, "why": "x"}, Ruling(acceptable=True, why="y"), Ruling(acceptable=False)]
    panel = Sent().panel(*answers)

    apart = outcome_of(consensus(panel, answer=Ruling, vote=plurality))
    together = outcome_of(consensus(panel, answer=Ruling, vote=plurality, key=lambda answer: answer["acceptable"]))

    assert (apart.status, apart.stopped_by) == ("escalated", "tie")
    assert (together.value, together.dissent) == (
        {"acceptable": True, "why": "x"},
        ({"acceptable": False, "why": ""},),
    )


def test_the_state_records_how_it_was_decided() -> None:
    decision = final_state(consensus(Sent().panel("a", "b", "a"), vote=majority))["decision"]
    labels = {value: label for label, value in decision["candidates"].items()}

    assert (decision["by"], decision["chosen"], decision["scores"]) == ("vote", [labels["a"]], {})
    assert decision["support"] == {labels["a"]: 2, labels["b"]: 1}


# Independence


def test_a_panelist_is_sent_the_task_and_its_background_and_nothing_of_the_others() -> None:
    sent = Sent()
    panel = sent.panel("ANSWER-0", "ANSWER-1", "ANSWER-2")
    given = [ContextItem(kind="background", title="contract", value="clause 7")]
    outcome_of(consensus(panel, vote=plurality, tie_breaker=sent.says("tie", "A")), background=given)
    requests = [request for agent in panel for request in sent.to(agent.name)]

    assert [request.context for request in requests] == [tuple(given)] * 3
    for number, request in enumerate(requests):
        text = request.model_dump_json()
        assert "ANSWER" not in text
        assert not [other for other in range(3) if other != number and f"panelist_{other}" in text]


def test_a_retry_is_as_blind_as_the_first_attempt() -> None:
    sent = Sent()

    def second_time(request: Request) -> str:
        if request.attempt == 1:
            raise ValueError("not yet")
        return "ANSWER-0"

    panel = [sent.agent("slow", second_time, attempts=2), *sent.panel("ANSWER-1", "ANSWER-2")]
    outcome_of(consensus(panel, vote=plurality))
    first, second = sent.to("slow")

    assert (first.context, second.context) == ((), ())
    assert second.feedback == "ValueError: not yet"
    assert "ANSWER" not in second.model_dump_json()
    assert "panelist" not in second.model_dump_json()


def test_a_guard_that_gives_an_answer_back_does_not_show_the_others() -> None:
    @guard(at="handoff", on_trip=Retry(1))
    def gives_reasons(view: GuardContext) -> str | None:
        return None if "because" in str(view.subject.value) else "give a reason"

    sent = Sent()
    panel = [sent.agent(f"p{n}", lambda r: "a because" if r.feedback else "ANSWER") for n in range(3)]
    outcome = outcome_of(consensus(panel, vote=majority, guards=[Depth(), gives_reasons]))

    assert (outcome.status, outcome.value) == ("completed", "a because")
    assert [request.context for _, request in sent.requests] == [()] * 6


# Quorum


@pytest.mark.parametrize(("quorum", "status"), [(None, "degraded"), (2, "degraded"), (3, "escalated"), (1, "degraded")])
def test_fewer_answers_than_the_quorum_are_escalated(quorum: int | None, status: str) -> None:
    panel = [*Sent().panel("a", "a"), Agent("broken", run=lambda request: 1 / 0)]
    outcome = outcome_of(consensus(panel, vote=plurality, quorum=quorum))

    assert outcome.status == status
    assert [gap.agent for gap in outcome.gaps] == ["broken"]
    if status == "escalated":
        assert (outcome.stopped_by, outcome.reason) == ("quorum", "2 of 3 agents have answered, 3 are needed")
    else:
        assert (outcome.value, outcome.confidence) == ("a", pytest.approx(2 / 3))


# Debate


def test_panelists_revise_with_the_anonymous_candidates_and_their_own_answer() -> None:
    sent = Sent()
    panel = [sent.says("p0", "FIRST-0", "b"), sent.says("p1", "FIRST-1", "b"), sent.says("p2", "FIRST-1", "b")]
    outcome = outcome_of(consensus(panel, vote=majority, rounds=3))
    _, second = sent.to("p0")

    assert (outcome.status, outcome.value, outcome.confidence) == ("completed", "b", 1.0)
    assert len(sent.requests) == 6  # all agree after round 2
    assert sorted(item.value for item in second.results) == ["FIRST-0", "FIRST-1"]  # type: ignore[type-var]
    assert [item.value for item in second.context if item.title == "your answer so far"] == ["FIRST-0"]
    assert "p1" not in second.model_dump_json()
    assert "p2" not in second.model_dump_json()


@pytest.mark.parametrize(
    ("answers", "rounds", "requests"),
    [
        ((("a",), ("b",), ("a",)), 5, 6),  # nobody moves in round 2
        ((("a", "b", "a", "b"), ("b", "a", "b", "a"), ("c",)), 3, 9),  # they swap for ever: 3 rounds at most
        ((("a",), ("a",), ("a",)), 5, 3),
    ],
)
def test_a_debate_ends_by_convergence_or_after_its_rounds(answers: Any, rounds: int, requests: int) -> None:
    sent = Sent()
    panel = [sent.says(f"p{number}", *values) for number, values in enumerate(answers)]
    final_state(consensus(panel, vote=plurality, rounds=rounds))

    assert len(sent.requests) == requests


def test_an_answer_stays_where_its_revision_fails() -> None:
    def once(request: Request) -> str:
        if request.round > 1:
            raise ValueError("no opinion")
        return "a"

    sent = Sent()
    panel = [sent.agent("p0", once), sent.says("p1", "b", "a"), sent.says("p2", "b")]
    outcome = outcome_of(consensus(panel, vote=majority, rounds=2))

    assert (outcome.status, outcome.value, outcome.dissent) == ("degraded", "a", ("b",))
    assert [(gap.agent, gap.round) for gap in outcome.gaps] == [("p0", 2)]


@pytest.mark.parametrize("unreadable", [1, 2, 3])
def test_an_answer_stays_where_its_revision_cannot_be_read(unreadable: int) -> None:
    sent = Sent()
    panel = [sent.says(f"p{n}", {"ok": n}, "no" if n < unreadable else {"ok": 0}) for n in range(3)]
    outcome = outcome_of(consensus(panel, vote=plurality, rounds=2, key=lambda answer: answer["ok"]))

    assert [(gap.agent, gap.round) for gap in outcome.gaps] == [(f"p{n}", 2) for n in range(unreadable)]
    assert (outcome.status, outcome.value) == {
        1: ("degraded", {"ok": 0}),
        2: ("degraded", {"ok": 0}),
        3: ("escalated", [{"subtask": None, "agent": f"p{n}", "value": {"ok": n}} for n in range(3)]),
    }[unreadable]


# Stakes


@pytest.mark.parametrize(
    ("stakes", "asked"),
    [("low", ["alone"]), ("normal", ["panelist_0", "panelist_1"]), ("high", ["panelist_0", "panelist_1"])],
)
def test_low_stakes_cost_one_agent(stakes: Any, asked: list[str]) -> None:
    sent = Sent()
    graph = consensus(
        sent.panel("a", "a"), vote=majority, stakes=lambda task: task.stakes, single=sent.says("alone", "a")
    )
    outcome = outcome_of(graph, Task(goal="Is it acceptable?", stakes=stakes))

    assert sorted(name for name, _ in sent.requests) == asked
    assert (outcome.status, outcome.value) == ("completed", "a")


def test_the_panel_is_asked_where_the_single_agent_fails() -> None:
    graph = consensus(
        Sent().panel("a", "a"), vote=majority, stakes=lambda _: False, single=Agent("alone", run=lambda _: 1 / 0)
    )
    outcome = outcome_of(graph)

    assert (outcome.status, outcome.value, [gap.agent for gap in outcome.gaps]) == ("degraded", "a", ["alone"])


def test_stakes_that_are_none_of_the_known_end_as_failed() -> None:
    graph = consensus(Sent().panel("a", "a"), vote=majority, stakes=lambda _: "medium", single=Agent("alone", run=str))
    outcome = outcome_of(graph)

    assert (outcome.status, outcome.stopped_by) == ("failed", "stakes")
    assert outcome.reason == "`stakes` returned 'medium', not a bool, 'low' or 'high'"


# Within other teams, and with guards


def test_dissent_of_a_nested_consensus_reaches_the_outcome_above() -> None:
    nested = Agent("board", run=consensus(Sent().panel("a", "b", "a"), vote=majority).compile())

    def plan(request: Request) -> Plan:
        return Plan(subtasks=(Subtask(id="decide", goal="decide"),)) if request.round == 1 else Plan()

    outcome = outcome_of(supervisor(planner=Agent("planner", run=plan), workers=[nested]))

    assert (outcome.status, outcome.dissent) == ("completed", ("b",))
    assert outcome.confidence == pytest.approx(2 / 3)


def test_a_guard_of_exit_refuses_what_has_won() -> None:
    @guard(at="exit")
    def is_polite(view: GuardContext) -> str | None:
        return "impolite" if view.subject.value == "a" else None

    outcome = outcome_of(consensus(Sent().panel("a", "b", "a"), vote=majority, guards=[is_polite]))

    assert outcome.status == "degraded"
    assert outcome.value != "a"
    assert [gap.guard for gap in outcome.gaps] == ["is_polite"]


def test_there_is_a_gate_for_each_who_decides() -> None:
    sent = Sent()
    graph = consensus(
        sent.panel("a", "b"),
        vote=majority,
        judge=sent.judge("a"),
        tie_breaker=agent("tie"),
        stakes=bool,
        single=agent(),
    )

    assert {name for name in graph.nodes if name.startswith("guard_")} == {
        "guard_admission",
        "guard_handoff_single",
        "guard_handoff",
        "guard_handoff_judge",
        "guard_handoff_tie",
        "guard_exit",
    }


def agent(name: str = "other", **facts: Any) -> Agent:
    return Agent(name, run=str, **facts)


async def is_async(*given: Any, **named: Any) -> Any:
    """A function that would have to be awaited."""


PAIR = [agent("one"), agent("two")]


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"panel": []}, "a panel needs at least two agents, got 0"),
        ({"panel": [agent()]}, "a panel needs at least two agents, got 1"),
        ({"panel": agent()}, "`panel` must be a list"),
        ({"panel": [agent(), agent()]}, "agent names must be unique"),
        ({"vote": None}, "give `vote=`, such as `majority`, or `judge=`, or both"),
        ({"vote": "majority"}, "`vote` must be"),
        ({"vote": supermajority}, "'supermajority' is no voting rule"),
        ({"vote": lambda ballots: None}, "'<lambda>' is no voting rule: one takes `.ballots, ., key=None.`"),
        ({"quorum": 3}, "`quorum` must be from 1 to 2, the panel's size, got 3"),
        ({"quorum": 0}, "`quorum` must be from 1 to 2"),
        ({"rounds": 0}, "`rounds` must be at least 1, got 0"),
        ({"rounds": 3, "guards": [Convergence(rounds=2)]}, "`rounds=3` is more than a guard `Convergence` allows"),
        ({"rubric": Rubric()}, "`rubric` is for a judge"),
        ({"synthesize": True}, "only a judge synthesizes"),
        ({"vote": is_async}, "`vote` must be a plain function that is not async"),
        ({"key": is_async}, "`key` must be a plain function that is not async"),
        ({"stakes": is_async, "single": agent()}, "`stakes` must be a plain function that is not async"),
        ({"stakes": bool}, "`stakes` and `single`, who answers if they are low, go together"),
        ({"single": agent()}, "`stakes` and `single`, who answers if they are low, go together"),
        ({"answer": int, "panel": [agent("one", output=str), agent("two")]}, "all candidates need one schema: 'one'"),
        ({"panel": [agent("one", output=str), agent("two", output=int)]}, "'two' answers <class 'int'>"),
        (
            {"answer": int, "panel": [agent("one", fallback=agent("spare", output=str)), agent("two")]},
            "all candidates need one schema: 'spare'",
        ),
        ({"judge": agent("judge", output=str)}, "'judge' answers <class 'str'>"),
        ({"judge": agent("one")}, "agent names must be unique"),
        ({"vote": borda, "answer": str}, "this voting rule counts answers of type RankingBallot"),
        ({"tie_breaker": "chair"}, "`tie_breaker` must be"),
    ],
)
def test_what_does_not_fit_together_is_refused_when_it_is_built(facts: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = {"panel": PAIR, "vote": majority, **facts}

    with pytest.raises(BadGraph, match=message):
        consensus(**given)


def test_the_schema_that_one_panelist_declares_is_that_of_all() -> None:
    panel = [
        Agent("typed", run=lambda _: 7, output=int),
        Agent("bare", run=lambda _: "7"),
        Agent("odd", run=lambda _: "x"),
    ]
    outcome = outcome_of(consensus(panel, vote=majority))

    assert (outcome.value, outcome.status) == (7, "degraded")
    assert [gap.agent for gap in outcome.gaps] == ["odd"]


def test_a_second_run_on_a_thread_begins_with_a_decision_of_its_own() -> None:
    sent = Sent()
    facts: dict[str, Any] = {"stakes": lambda task: task.stakes, "single": sent.says("alone", "b")}
    graph = consensus(sent.panel("a", "a"), vote=majority, **facts).compile(checkpointer=InMemorySaver())
    thread: Any = {"configurable": {"thread_id": "t"}}
    first = graph.invoke({"task": Task(goal="this", stakes="high")}, thread)["outcome"]
    decision = graph.get_state(thread).values["decision"]
    second = graph.invoke({"task": Task(goal="that", stakes="low")}, thread)["outcome"]

    assert (first.value, second.value) == ("a", "b")
    assert (decision["by"], graph.get_state(thread).values["decision"]) == ("vote", None)


def test_only_the_latest_answers_are_handed_over() -> None:
    sent = Sent()
    panel = [sent.says("p0", "a", "c"), sent.says("p1", "b")]
    outcome = outcome_of(consensus(panel, vote=plurality, rounds=2))

    assert outcome.status == "escalated"
    assert sorted(item["value"] for item in outcome.value) == ["b", "c"]  # type: ignore[union-attr, index, call-overload]


def test_an_answer_that_the_key_cannot_read_is_dropped_and_named() -> None:
    panel = Sent().panel({"ok": True}, "yes", {"ok": True})
    outcome = outcome_of(consensus(panel, vote=majority, key=lambda answer: answer["ok"]))

    assert (outcome.status, outcome.value, outcome.dissent) == ("degraded", {"ok": True}, ())
    assert outcome.confidence == pytest.approx(2 / 3)
    assert [(gap.agent, "no valid ballot" in gap.reason) for gap in outcome.gaps] == [("panelist_1", True)]


def test_answers_that_cannot_be_read_at_all_fail_the_run() -> None:
    outcome = outcome_of(consensus(Sent().panel("yes", "no"), vote=majority, key=lambda answer: answer["ok"]))

    assert (outcome.status, outcome.value, len(outcome.gaps)) == ("failed", None, 2)
