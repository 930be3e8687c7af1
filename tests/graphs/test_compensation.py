"""A violated contract runs the compensating agent that is declared, once, and what it answers is judged in turn."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from guardgraph.agents import Agent
from guardgraph.agents.prompt import render
from guardgraph.graphs import Stage, pipeline, supervisor
from guardgraph.guards import Budget, Escalate, Finish, GuardContext, Limits, Retry, Schema, Trust, guard
from guardgraph.runs import Runner
from guardgraph.state import BadGraph, Request, RunEvent
from tests.graphs.teams import WAYS, gather, listed, plan_of, planner, speaker, worker


class Offer(BaseModel):
    vendor: str
    price: int


def offer(price: Any) -> Any:
    return lambda request: {"vendor": "A", "price": price}


def market(fixes: Any, *, first: Any = None, guards: Any = None, contract: Any = None, **facts: Any) -> Any:
    """Return a team with a clerk whose offer is too dear, and a fixer that is a worker too."""
    schema = contract or Schema(Offer, check=lambda one: "too dear" if one.price > 100 else None, compensate="fixer")
    return supervisor(
        planner=planner(plan_of("a", skill="offer")),
        workers=[
            first or Agent("clerk", run=offer(300), skills={"offer"}, **facts),
            fixes if isinstance(fixes, Agent) else Agent("fixer", run=fixes, skills={"fix"}),
        ],
        synthesizer=Agent("writer", run=gather),
        guards=[schema.only(agents={"clerk", "fixer"}), *(guards or [])],
    ).compile()


@pytest.mark.parametrize("way", WAYS)
def test_the_compensating_agent_is_given_what_was_refused_and_why(way: str) -> None:
    seen: list[Request] = []

    def fixes(request: Request) -> Any:
        seen.append(request)
        return {"vendor": "B", "price": 90}

    outcome = WAYS[way](market(fixes), "buy", None)

    assert (outcome.status, listed(outcome)) == ("completed", [{"vendor": "B", "price": 90}])
    request = seen[0]
    assert (request.compensates, request.feedback, request.attempt, request.tries) == ("clerk", "too dear", 3, 1)
    assert request.subtask is not None
    assert request.subtask.id == "a"
    item = request.context[-1]
    assert (item.sender, item.value) == ("clerk", {"vendor": "A", "price": 300})
    assert "The answer of 'clerk', which is in the background, was refused: too dear. Put it right" in render(request)


@pytest.mark.parametrize(("on_trip", "tries"), [(Finish(), 1), (Retry(1), 2), (Retry(2), 3), (Escalate(), 1)])
def test_the_agent_itself_tries_first_as_often_as_it_may(on_trip: Any, tries: int) -> None:
    calls: list[str] = []

    def clerk(request: Request) -> Any:
        calls.append("clerk")
        return "nothing"

    def fixes(request: Request) -> Any:
        calls.append("fixer")
        return {"vendor": "B", "price": 1}

    contract = Schema(Offer, compensate="fixer", on_trip=on_trip)
    outcome = market(fixes, first=Agent("clerk", run=clerk, skills={"offer"}), contract=contract).invoke({"task": "T"})

    assert calls == ["clerk"] * tries + ["fixer"]
    assert outcome["outcome"].status == "completed"


@pytest.mark.parametrize("way", WAYS)
def test_what_is_refused_again_is_a_gap_that_names_both(way: str) -> None:
    calls: list[str] = []

    def fixes(request: Request) -> Any:
        calls.append(str(request.feedback))
        return {"vendor": "B", "price": 200}

    outcome = WAYS[way](market(fixes), "buy", None)

    assert outcome.status == "failed"
    assert calls == ["too dear", "too dear"], "its contract gives it a second attempt too"
    gap = outcome.gaps[0]
    assert (gap.subtask, gap.agent, gap.guard) == ("a", "fixer", "Schema")
    assert gap.reason == "too dear (in place of the answer of 'clerk')"


def test_two_contracts_do_not_compensate_each_other_for_ever() -> None:
    calls: list[str] = []

    def answering(name: str) -> Any:
        def run(request: Request) -> str:
            calls.append(name)
            return name

        return run

    @guard(at="handoff", on_trip=Finish())
    def never(context: GuardContext) -> str | None:
        return "no"

    first = Schema(str, check=lambda _: "no", compensate="b", on_trip=Finish())
    graph = supervisor(
        planner=planner(plan_of("x", skill="s")),
        workers=[
            Agent("a", run=answering("a"), skills={"s"}, guards=[first]),
            Agent("b", run=answering("b"), guards=[Schema(check=lambda _: "no", compensate="a", on_trip=Finish())]),
        ],
        synthesizer=Agent("writer", run=gather),
        guards=[],
    )
    outcome = graph.compile().invoke({"task": "T"})["outcome"]

    assert calls == ["a", "b"]
    assert outcome.gaps[0].agent == "b"


def test_escalation_comes_after_the_compensation() -> None:
    contract = Schema(Offer, compensate="fixer", on_trip=Escalate())
    outcome = market(lambda _: "no", first=Agent("clerk", run=lambda _: "no", skills={"offer"}), contract=contract)

    assert outcome.invoke({"task": "T"})["outcome"].status == "escalated"


def test_a_value_that_did_not_fit_the_declared_output_is_put_right_too() -> None:
    clerk = Agent("clerk", run=lambda _: {"vendor": "A"}, output=Offer, skills={"offer"})
    outcome = market(offer(5), first=clerk, contract=Schema(compensate="fixer")).invoke({"task": "T"})["outcome"]

    assert (outcome.status, listed(outcome)) == ("completed", [{"vendor": "A", "price": 5}])


def test_a_failure_that_is_no_violation_is_not_compensated() -> None:
    def fails(request: Request) -> Any:
        raise ValueError("broken")

    outcome = market(offer(5), first=Agent("clerk", run=fails, skills={"offer"})).invoke({"task": "T"})["outcome"]

    assert (outcome.status, outcome.gaps[0].agent) == ("failed", "clerk")


def test_it_comes_before_the_fallback_which_is_for_failures() -> None:
    clerk = Agent("clerk", run=offer(300), skills={"offer"}, fallback=worker("spare", offer(7)))
    outcome = market(offer(5), first=clerk).invoke({"task": "T"})["outcome"]

    assert listed(outcome) == [{"vendor": "A", "price": 5}]


@pytest.mark.parametrize("way", WAYS)
def test_a_stage_has_a_fallback_that_compensates(way: str) -> None:
    fixer = Agent("fixer", run=lambda request: request.context[-1].value["price"] // 10)
    stage = Agent("clerk", run=offer(300), fallback=worker("spare", offer(7), fallback=fixer), guards=[
        Schema(check=lambda value: "no number" if not isinstance(value, int) else None, compensate="fixer"),
    ])  # fmt: skip
    after = Agent("after", run=lambda request: [item.value for item in request.results])
    outcome = WAYS[way](pipeline([Stage(stage), Stage(after)]).compile(), "T", None)

    assert (outcome.status, outcome.value) == ("completed", [30])


def test_it_is_metered_and_limited_as_any_agent() -> None:
    clerk = speaker("clerk", read=10, written=10, skills={"offer"})
    fixer = speaker("fixer", read=10, written=10, skills={"fix"})
    contract = Schema(Offer, compensate="fixer", on_trip=Finish())
    free = market(fixer, first=clerk, contract=contract).invoke({"task": "T"})["outcome"]
    limited = market(fixer, first=clerk, contract=contract, guards=[Budget(calls=1, reserve=0)]).invoke({"task": "T"})

    assert (free.usage.calls, free.usage.tokens) == (2, 40)
    assert limited["outcome"].usage.calls == 1


def test_the_guards_of_dispatch_judge_it() -> None:
    @guard(at="dispatch")
    def not_the_fixer(context: GuardContext) -> str | None:
        return "not today" if context.agent and context.agent.name == "fixer" else None

    outcome = market(offer(5), guards=[not_the_fixer]).invoke({"task": "T"})["outcome"]

    assert [(gap.subtask, gap.reason) for gap in outcome.gaps] == [("a", "too dear")]


def test_an_event_tells_of_it() -> None:
    events: list[RunEvent] = []
    graph = market(offer(5)).builder
    run = Runner(graphs={"market": lambda: graph}, on_event=events.append).run("market", "buy")

    assert run.outcome is not None
    assert run.outcome.status == "completed"
    found = [one.data for one in events if one.kind == "compensating"]
    assert found == [{"agent": "fixer", "instead_of": "clerk", "guard": "Schema", "reason": "too dear", "subtask": "a"}]


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: market(offer(1), contract=Schema(compensate="fixr")), "no agent 'fixr' to compensate"),
        (lambda: Schema(compensate=" "), "`compensate` is empty"),
        (lambda: Schema(compensate=3), "`compensate` must be str"),  # type: ignore[arg-type]
        (
            lambda: pipeline([Stage(worker("one")), Stage(worker("two"))], guards=[Schema(compensate="two"), Limits()]),
            "'two' cannot compensate for 'one': make it a fallback of 'one', or give the guard to other agents",
        ),
        (
            lambda: pipeline([Stage(worker("one", guards=[Schema(compensate="zed")]))]),
            "no agent 'zed' to compensate",
        ),
    ],
)
def test_an_agent_that_cannot_compensate_is_refused_when_the_team_is_built(make: Any, reason: str) -> None:
    with pytest.raises(BadGraph, match=reason):
        make()


@pytest.mark.parametrize("integrity", ["untrusted", "endorses"])
def test_a_reserved_agent_is_not_given_what_an_untrusted_one_has_answered(integrity: Any) -> None:
    clerk = Agent("clerk", run=offer(300), skills={"offer"}, integrity=integrity)
    outcome = market(offer(5), first=clerk, guards=[Trust(reserved={"fixer"})]).invoke({"task": "T"})["outcome"]

    if integrity == "endorses":
        assert listed(outcome) == [{"vendor": "A", "price": 5}]
    else:
        assert [(gap.subtask, gap.reason) for gap in outcome.gaps] == [("a", "too dear")]
