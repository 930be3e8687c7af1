"""Combined guards judge in real teams as their definition says."""

from __future__ import annotations

from typing import Any

import pytest

from guardgraph.agents import Agent
from guardgraph.graphs import Stage, lint, pipeline
from guardgraph.graphs.draw import describe
from guardgraph.graphs.draw.plain_text import text_of
from guardgraph.guards import (
    AllowedTools,
    Budget,
    Convergence,
    Depth,
    Escalate,
    Finish,
    Grounding,
    GuardContext,
    Limits,
    Repetition,
    Retry,
    Schema,
    guard,
)
from guardgraph.models.offline import ScriptedModel
from guardgraph.state import BadGraph, Evidence, GroundedClaim, Plan, Reply, Request, Subtask
from tests.graphs.loops import Loop
from tests.graphs.teams import WAYS, echo, listed, plan_of, team, worker


@guard(at="handoff")
def is_short(context: GuardContext) -> str | None:
    return None if len(str(context.subject.value)) < 15 else "too long"


@guard(at="handoff", on_trip=Retry(1))
def is_polite(context: GuardContext) -> str | None:
    return None if "please" in str(context.subject.value) else "say please"


def fails(request: Request) -> Any:
    raise ValueError("broken")


@pytest.mark.parametrize("way", WAYS)
def test_either_lets_through_what_one_of_them_passes(way: str) -> None:
    def polite(request: Request) -> str:
        return f"please: {request.goal}" if request.feedback else request.goal

    goals = ("short", "a long goal without manners")
    graph = team(plan_of(*goals), workers=[worker(run=polite)], guards=[is_polite | is_short]).compile()

    outcome = WAYS[way](graph, "the task", None)

    assert sorted(listed(outcome)) == ["do short", "please: do a long goal without manners"]
    assert outcome.status == "completed"


@pytest.mark.parametrize("way", WAYS)
def test_both_are_as_the_two_in_a_list(way: str) -> None:
    outcomes = [
        WAYS[way](team(plan_of("a", "a long long name"), guards=guards).compile(), "the task", None)
        for guards in ([is_short & Schema(str | list)], [is_short, Schema(str | list)])
    ]

    assert outcomes[0].gaps == outcomes[1].gaps
    assert [gap.guard for gap in outcomes[0].gaps] == ["is_short"]


@pytest.mark.parametrize("way", WAYS)
def test_only_judges_the_agents_that_it_names_and_their_fallbacks(way: str) -> None:
    workers = [
        worker("loose", skills={"loose"}),
        worker("strict", fails, fallback=worker("spare"), skills={"strict"}),
    ]
    plan = plan_of("one long name", skill="loose").model_copy(
        update={
            "subtasks": (
                *plan_of("one long name", skill="loose").subtasks,
                *plan_of("two long names", skill="strict").subtasks,
            )
        }
    )
    outcome = WAYS[way](
        team(plan, workers=workers, guards=[is_short.only(agents={"strict"})]).compile(), "the task", None
    )

    assert listed(outcome) == ["done: do one long name"]
    assert [(gap.subtask, gap.agent, gap.guard) for gap in outcome.gaps] == [("two long names", "spare", "is_short")]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("categories", "rounds"), [(["financial"], 1), (["safety"], 2)])
def test_only_limits_the_tasks_of_its_categories(way: str, categories: list[str], rounds: int) -> None:
    limits = (Limits(subtasks=9) & Convergence(1)).only(categories={"financial"})
    graph = team(plan_of("a"), plan_of("b"), guards=[limits]).compile()

    outcome = WAYS[way](graph, {"goal": "the task", "categories": categories}, None)

    assert len(listed(outcome)) == rounds


@pytest.mark.parametrize(("categories", "status"), [(["financial"], "failed"), (["safety"], "completed")])
def test_a_condition_on_categories_holds_for_the_allowance_too(categories: list[str], status: str) -> None:
    graph = team(plan_of("a"), guards=[Budget(calls=0).only(categories={"financial"})]).compile()

    outcome = graph.invoke({"task": {"goal": "the task", "categories": categories}})["outcome"]

    assert (outcome.status, outcome.stopped_by) == (status, "Budget" if status == "failed" else None)


@pytest.mark.parametrize("way", WAYS)
def test_the_wider_of_two_limits_holds(way: str) -> None:
    plans = [plan_of(name) for name in "abcd"]
    outcome = WAYS[way](team(*plans, guards=[Convergence(2) | Convergence(3)]).compile(), "the task", None)

    assert listed(outcome) == ["done: do a", "done: do b", "done: do c"]


@pytest.mark.parametrize("way", WAYS)
def test_each_part_of_either_reads_its_own_sources(way: str) -> None:
    def quotes(request: Request) -> Reply:
        evidence = Evidence(source=str(request.subtask and request.subtask.id), quote="the price is ten")
        return Reply(value="ten", evidence=(evidence,))

    @guard(at="handoff")
    def never(context: GuardContext) -> str:
        return "no"

    first, second = Grounding({"a": "the price is ten"}), Grounding({"b": "the price is ten"})
    plan, staff = plan_of("a", "b", "c"), [worker(run=quotes)]
    outcome = WAYS[way](team(plan, workers=staff, guards=[first | second]).compile(), "the task", None)
    none = WAYS[way](team(plan, workers=staff, guards=[first & second]).compile(), "the task", None)

    assert [gap.subtask for gap in outcome.gaps] == ["c"]
    assert outcome.gaps[0].guard == "Grounding | Grounding"
    assert [gap.subtask for gap in none.gaps] == ["a", "b", "c"]
    for under in (first.only(agents={"worker"}), never | first.only(agents={"worker"})):  # its sources are read too
        some = WAYS[way](team(plan, workers=staff, guards=[under]).compile(), "the task", None)
        assert [gap.subtask for gap in some.gaps] == ["b", "c"]


@pytest.mark.parametrize(("tools", "searched"), [({"search"}, 4), ({"other"}, 2)])
@pytest.mark.parametrize("way", WAYS)
def test_a_call_is_made_where_one_of_two_guards_lets_it_pass(way: str, tools: set[str], searched: int) -> None:
    loop = Loop()
    either = Repetition(2, on_trip=Finish()) | AllowedTools(tools)

    outcome = WAYS[way](pipeline([Agent("w", run=loop.agent)], guards=[either, Limits(calls=4)]).compile(), "T", None)

    assert len(loop.searched) == searched
    assert outcome.stopped_by == ("Limits" if searched == 4 else "Repetition | AllowedTools")


def test_escalation_by_a_combined_guard_ends_the_run() -> None:
    outcome = team(plan_of("a", "b long long long"), guards=[is_polite & is_short]).compile().invoke({"task": "T"})
    strict = guard(at="handoff", on_trip=Escalate())(is_short.function) | is_polite
    escalated = team(plan_of("a", "b long long long"), guards=[strict]).compile().invoke({"task": "T"})

    assert outcome["outcome"].status == "failed"
    assert escalated["outcome"].status == "escalated"
    assert escalated["outcome"].stopped_by == "is_short | is_polite"


def test_an_agent_has_combined_guards_of_its_own() -> None:
    own = worker("own", guards=[(is_short | is_polite) & Schema(str)])
    outcome = team(plan_of("a", "a long long name"), workers=[own]).compile().invoke({"task": "T"})["outcome"]

    assert [gap.guard for gap in outcome.gaps] == ["is_short | is_polite"]


def test_an_unknown_agent_is_refused_when_the_team_is_built() -> None:
    with pytest.raises(BadGraph, match=r"`only` of the guard 'is_short' names 'writr', which is no agent of the team"):
        team(plan_of("a"), guards=[(is_short | is_polite) & is_short.only(agents={"writr"})])
    with pytest.raises(BadGraph, match="names 'nobody'"):
        pipeline([Stage(Agent("a", run=echo, guards=[is_short.only(agents={"nobody"})]))])


def test_the_drawing_names_them_and_their_conditions() -> None:
    guards = [is_short | is_polite, Schema().only(agents={"worker", "writer"}, categories={"financial"}), Depth(2)]
    drawing = text_of(describe(team(plan_of("a"), guards=guards)))

    assert "handoff: is_short | is_polite, Schema [worker/writer in financial]" in drawing
    assert "dispatch: Depth" in drawing


def test_a_budget_of_some_tasks_alone_does_not_content_the_linter() -> None:
    staff = [Agent("worker", model=ScriptedModel(replies=lambda _: "so"))]
    plain, conditional, either = (
        {one.code for one in lint(team(plan_of("a"), workers=staff, guards=[guard_]))}
        for guard_ in (
            Budget(usd=1),
            Budget(usd=1).only(categories={"financial"}),
            Budget(usd=1) | Budget(usd=2),
        )
    )

    assert "no-budget" not in plain | either
    assert "no-budget" in conditional


@pytest.mark.parametrize("way", WAYS)
def test_critical_claims_are_read_against_the_sources_of_the_guard(way: str) -> None:
    def claims(request: Request) -> Reply:
        quote = "the price is ten" if request.feedback else "the price is nine"
        evidence = (Evidence(source="list", quote=quote),)
        return Reply(value=[GroundedClaim(subject="seat", attribute="price", value=10, evidence=evidence)])

    grounding = Grounding(
        {"list": "Today the price is ten dollars."}, critical=lambda claim: claim.attribute == "price"
    )
    graph = team(plan_of("a"), workers=[worker(run=claims)], guards=[grounding]).compile()
    outcome = WAYS[way](graph, "T", None)

    assert outcome.status == "completed"
    assert listed(outcome)[0][0]["value"] == 10


def test_only_agents_that_are_grounded_are_to_quote() -> None:
    def model(name: str) -> Agent:
        return Agent(name, model=ScriptedModel(replies=lambda _: "plain text"), skills={name})

    plan = Plan(subtasks=tuple(Subtask(id=name, goal=name, skill=name) for name in ("one", "two")))
    guards = [Grounding({}).only(agents={"one"})]
    outcome = team(plan, workers=[model("one"), model("two")], guards=guards).compile().invoke({"task": "T"})["outcome"]

    assert listed(outcome) == ["plain text"]
    assert [gap.subtask for gap in outcome.gaps] == ["one"]


def test_a_guard_knows_in_whose_place_a_fallback_works() -> None:
    seen: list[tuple[str, ...]] = []

    @guard(at=("dispatch", "handoff"))
    def noting(context: GuardContext) -> None:
        assert context.agent is not None
        seen.append((context.gate, *context.agent.names))

    first = worker("first", fails, fallback=worker("spare"))
    team(plan_of("a"), workers=[first], guards=[noting]).compile().invoke({"task": "T"})

    assert seen == [("dispatch", "first"), ("dispatch", "spare", "first"), ("handoff", "spare", "first")]
