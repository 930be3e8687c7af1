from __future__ import annotations

from typing import Any

import pytest

from guardgraph.agents import Agent
from guardgraph.graphs import Parallel, Stage, pipeline, supervisor
from guardgraph.guards import Budget, Escalate, Grounding, GuardContext, Limits, Refuse, Retry, guard
from guardgraph.models.offline import ScriptedModel
from guardgraph.state import BadGraph, Evidence, Outcome, Plan, Reply, Request
from tests.graphs.teams import WAYS, echo, gather, listed, plan_of, planner, team, worker


def polite(request: Request) -> str:
    return f"please, {request.goal}" if request.feedback else request.goal


@guard(at="handoff", on_trip=Retry(1))
def says_please(view: GuardContext) -> str | None:
    return None if "please" in str(view.subject.value) else "say please"


@guard(at="dispatch")
def no_secrets(view: GuardContext) -> str | None:
    return "that is secret" if "secret" in view.subject.goal else None


@pytest.mark.parametrize("way", WAYS)
def test_it_judges_the_answers_of_its_agent_alone(way: str) -> None:
    workers = [worker("rude", skills={"rude"}), worker("kind", polite, guards=[says_please], skills={"kind"})]
    graph = team(plan_of("a", skill="rude"), plan_of("b", skill="kind"), workers=workers).compile()

    outcome = WAYS[way](graph, "the task", None)

    assert outcome.status == "completed"
    assert listed(outcome) == ["done: do a", "please, do b"]


def test_it_judges_after_the_guards_of_the_team() -> None:
    asked: list[str] = []

    def noting(name: str, reason: str | None) -> Any:
        @guard(at="handoff")
        def judges(view: GuardContext) -> str | None:
            asked.append(name)
            return reason

        return judges

    staff = [worker(guards=[noting("own", "no")])]
    outcome = (
        team(plan_of("a"), workers=staff, guards=[noting("team", None)]).compile().invoke({"task": "T"})["outcome"]
    )
    assert (asked, outcome.gaps[0].reason) == (["team", "own"], "no")

    asked.clear()
    team(plan_of("a"), workers=staff, guards=[noting("team", "no")]).compile().invoke({"task": "T"})
    assert asked == ["team"], "the first trip decides"


def test_it_judges_what_its_agent_is_sent() -> None:
    workers = [worker("open", skills={"open"}), worker("careful", guards=[no_secrets], skills={"careful"})]
    plan = Plan(subtasks=(*plan_of("secret a", skill="open").subtasks, *plan_of("secret b", skill="careful").subtasks))
    outcome = team(plan, workers=workers).compile().invoke({"task": "T"})["outcome"]

    assert listed(outcome) == ["done: do secret a"]
    assert [(gap.subtask, gap.guard, gap.reason) for gap in outcome.gaps] == [
        ("secret b", "no_secrets", "that is secret")
    ]


def test_a_fallback_has_guards_of_its_own() -> None:
    def fails(request: Request) -> str:
        raise ValueError("broken")

    fallback = worker("second", polite, guards=[says_please])
    first = worker("first", fails, fallback=fallback)
    outcome = team(plan_of("a"), workers=[first]).compile().invoke({"task": "T"})["outcome"]

    assert listed(outcome) == ["please, do a"]


def test_a_planners_guard_sends_its_plan_back() -> None:
    @guard(at="round", on_trip=Retry(1))
    def small(view: GuardContext) -> str | None:
        return "at most one subtask" if len(view.subject.subtasks) > 1 else None

    def plan(request: Request) -> Plan:
        return Plan() if request.round > 1 else plan_of("a") if request.feedback else plan_of("a", "b")

    graph = supervisor(planner=Agent("planner", run=plan, guards=[small]), workers=[worker()])
    outcome = graph.compile().invoke({"task": "T"})["outcome"]

    assert (outcome.status, len(listed(outcome))) == ("completed", 1)


@pytest.mark.parametrize("kind", ["author", "last stage"])
def test_an_authors_guard_sends_its_draft_back(kind: str) -> None:
    @guard(at="exit", on_trip=Retry(1))
    def names_the_currency(view: GuardContext) -> str | None:
        return None if "USD" in str(view.subject.value) else "name the currency"

    def write(request: Request) -> str:
        return "2.00 USD" if request.feedback else "2.00"

    writer = Agent("writer", run=write, guards=[names_the_currency])
    graph = team(plan_of("a"), synthesizer=writer) if kind == "author" else pipeline([worker(), writer])

    outcome: Outcome = graph.compile().invoke({"task": "T"})["outcome"]

    assert (outcome.status, outcome.value) == ("completed", "2.00 USD")


@pytest.mark.parametrize(("on_trip", "status"), [(Escalate(), "escalated"), (Refuse(), "degraded")])
def test_it_ends_the_run_as_a_guard_of_the_team_does(on_trip: Any, status: str) -> None:
    @guard(at="handoff", on_trip=on_trip)
    def never(view: GuardContext) -> str | None:
        return "no"

    workers = [worker("a", skills={"a"}, guards=[never]), worker("b", skills={"b"})]
    plan = Plan(subtasks=(*plan_of("x", skill="a").subtasks, *plan_of("y", skill="b").subtasks))
    outcome = team(plan, workers=workers).compile().invoke({"task": "T"})["outcome"]

    assert (outcome.status, outcome.stopped_by) == (status, "never")


def test_the_metadata_of_a_gate_names_it_with_its_agent() -> None:
    writer = Agent("writer", run=gather)
    workers = [worker("plain"), worker("kind", guards=[says_please, no_secrets])]
    graph = supervisor(planner=planner(plan_of("a")), workers=workers, synthesizer=writer, guards=[])

    metadata = {name: (node.metadata or {}).get("guards") for name, node in graph.nodes.items()}
    assert metadata["guard_dispatch"] == "dispatch: no_secrets (kind)"
    assert metadata["guard_handoff"] == "handoff: says_please (kind); dispatch: no_secrets (kind)"
    assert metadata["guard_exit"] == "none"


def test_a_model_with_grounding_of_its_own_answers_with_quotes() -> None:
    sources = {"a.md": "The price is 2.00 USD."}
    cites = Agent(
        "cites",
        run=lambda request: Reply(value="2.00", evidence=(Evidence(source="a.md", quote="The price is 2.00 USD."),)),
        guards=[Grounding(sources)],
        skills={"cites"},
    )
    model = ScriptedModel(replies=lambda messages: "free text")
    plain, quoting = Agent("plain", model=model), Agent("quoting", model=model, guards=[Grounding(sources)])
    outcome = pipeline([cites, Stage(plain), Stage(quoting, critical=False)]).compile().invoke({"task": "T"})["outcome"]

    assert [gap.agent for gap in outcome.gaps] == ["quoting"], "free text is no answer with quotes"
    assert "the model's answer cannot be read" in outcome.gaps[0].reason


@guard(at="exit")
def at_exit(view: GuardContext) -> str | None:
    return "no"


@pytest.mark.parametrize(
    ("build", "agent"),
    [
        (lambda: team(synthesizer=Agent("writer", run=gather, guards=[says_please])), "writer"),
        (lambda: supervisor(planner=Agent("planner", run=echo, guards=[says_please]), workers=[worker()]), "planner"),
        (lambda: team(workers=[worker(guards=[at_exit])], synthesizer=None), "worker"),
        (lambda: team(workers=[worker(fallback=worker("spare", guards=[at_exit]))]), "spare"),
        (lambda: pipeline([worker("a", guards=[at_exit]), worker("b")]), "a"),
        (lambda: pipeline([Parallel(worker("a", guards=[at_exit]), worker("b"))]), "a"),
    ],
)
def test_a_guard_that_would_never_be_asked_is_refused(build: Any, agent: str) -> None:
    with pytest.raises(BadGraph, match=f"of agent '{agent}' judges at .*; here this agent is judged at"):
        build()


@pytest.mark.parametrize(
    ("guards", "says"),
    [
        ([Budget(tokens=5)], "guard 'Budget' limits a team; an agent has `timeout`, `budget_share`"),
        ([Limits()], "guard 'Limits' limits a team"),
        ([guard(at="admission")(lambda view: None)], "limits a team"),
        ([Budget], "`guards` holds the class Budget"),
        ([len], "each of `guards` must be Guard"),
        (says_please, "`guards` must be a list, got one FunctionGuard: write guards="),
    ],
)
def test_what_limits_a_team_is_no_guard_of_an_agent(guards: Any, says: str) -> None:
    with pytest.raises(BadGraph, match=says):
        Agent("a", run=echo, guards=guards)
