"""A team that is declared wrongly says so when it is built, in one sentence."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from guardgraph.agents import Agent
from guardgraph.graphs import Stage, Team, pipeline, supervisor
from guardgraph.guards import Budget, Deadline, Depth, Guard, GuardContext, Limits, OnTrip, Refuse, Retry, Schema, guard
from guardgraph.models.offline import ScriptedModel
from guardgraph.state import BadGraph
from tests.graphs.teams import echo, planner, team, worker

MODEL: Any = ScriptedModel(replies=["said"])
NONE: Any = None


def built(**facts: Any) -> Any:
    known: Any = {"planner": planner(), "workers": [worker()]}
    return supervisor(**{**known, **facts})


@guard(at=("admission", "dispatch"), on_trip=Retry(2))
def sends_back(view: GuardContext) -> str | None:
    """Want something sent back where nobody is there yet."""


def own(**facts: Any) -> Any:
    writer = worker("writer")
    known: Any = {"entry": [writer], "author": writer}
    return Team("own", **{**known, **facts}).build()


def plain() -> Team:
    return Team("own", entry=[worker()], author=worker())


def gated(*, member: Any = None, leads_to: str = "handoff", gate: str = "handoff", **facts: Any) -> Any:
    agent = member or worker()
    team = Team("own", entry=[agent]).add_agents([agent], gate=leads_to)
    known: Any = {"agents": [agent], "route": lambda gate: gate.conclude()}
    return team.add_gate(gate, **{**known, **facts}).build()


async def waits(_: object) -> str:
    return "guard_exit"


@pytest.mark.parametrize("wrong", [echo, "openai:gpt-5", MODEL, team().compile(), Agent, None])
@pytest.mark.parametrize("role", ["planner", "workers", "synthesizer"])
def test_who_is_no_agent_is_refused(role: str, wrong: Any) -> None:
    if (role, wrong) != ("synthesizer", None):
        with pytest.raises(BadGraph, match=rf"^supervisor: (each of )?`{role}` must be "):
            built(**{role: [wrong] if role == "workers" else wrong})


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (lambda: built(workers=worker()), r"supervisor: `workers` must be a list, got one Agent: write workers=\[…\]"),
        (lambda: built(guards=Budget(calls=1)), "supervisor: `guards` must be a list, got one Budget: write guards"),
        (lambda: built(concurrency="4"), "supervisor: `concurrency` must be int \\| None, got '4'"),
        (lambda: built(concurrency=0), "`concurrency` must be at least 1, got 0"),
        (lambda: built(name=3), "a team: `name` must be str, got 3"),
        (lambda: pipeline(NONE), "pipeline: `stages` must be Sequence\\[Stage \\| Agent \\| Parallel\\], got None"),
        (lambda: pipeline(worker()), "pipeline: `stages` must be a list, got one Agent"),  # type: ignore[arg-type]
        (lambda: pipeline([echo]), r"each of `stages` must be Stage \| Agent \| Parallel, got function"),  # type: ignore[list-item]
        (lambda: pipeline([worker()], guards=Depth()), "pipeline: `guards` must be a list"),  # type: ignore[arg-type]
        (lambda: Stage(echo), r"Stage: `agent` must be Agent, got function"),  # type: ignore[arg-type]
        (lambda: own(guards=Depth()), "own: `guards` must be a list, got one Depth"),
        (lambda: own(entry="writer"), "own: `entry` must be Sequence\\[Agent\\], got 'writer'"),
        (lambda: own(author=echo), r"own: `author` must be Agent \| None, got function"),
    ],
)
def test_what_is_declared_wrongly_is_refused(build: Callable[[], object], says: str) -> None:
    with pytest.raises(BadGraph, match=says):
        build()


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (
            lambda: gated(leads_to="review"),
            "agent 'worker' leads to a gate 'review' that does not exist; the gates are 'ha",
        ),
        (lambda: gated(gate="review"), "a gate is called 'dispatch' or 'handoff', or that with a suffix such as"),
        (
            lambda: gated(destinations=["nobody"]),
            "gate 'handoff' names 'nobody', which is no gate, agent or node of the team",
        ),
        (lambda: gated(destinations=[worker("other")]), "gate 'handoff' names the agent 'other', which was not added"),
        (lambda: gated(agents=[worker(), worker("other")]), "gate 'handoff' names the agent 'other', which was"),
        (lambda: gated(agents=worker()), r"own: `agents` must be a list, got one Agent: write agents=\[…\]"),
        (lambda: gated(route=waits), "gate 'handoff': `route` must be a plain function that is not async, got "),
        (lambda: gated(route="guard_exit"), "gate 'handoff': `route` must be a plain function that is not async, got "),
        (lambda: gated(decide=waits), "gate 'handoff': `decide` must be a plain function that is not async, got "),
        (lambda: gated(member=worker("handoff")), "these agent names are taken by the team's own nodes: 'handoff'"),
        (lambda: gated(member=worker("guard_x")), "these agent names are taken by the team's own nodes: 'guard_x'"),
        (lambda: own(entry=[worker("other")]), "`entry` names the agent 'other', which was not added"),
        (lambda: own(required=[worker("other")]), "`required` names the agent 'other', which was not added"),
        (lambda: own(entry=[]), "`entry` names no agent"),
        (
            lambda: own(destinations="writer"),
            r"own: `destinations` must be a list, got one str: write destinations=\[…\]",
        ),
        (
            lambda: gated(destinations="worker"),
            r"own: `destinations` must be a list, got one str: write destinations=\[…\]",
        ),
        (lambda: gated(agents=[]), "agent 'worker' leads to gate 'handoff', whose `agents` do not name it"),
        (lambda: own(entry=waits), "`entry` must be a plain function that is not async"),
        (
            lambda: own(entry=lambda gate: "x", destinations=["x"]),
            "`entry` names 'x', which is no gate, agent or node of the te",
        ),
        (
            lambda: plain().add_agents([worker()], gate="x", channel="gaps"),
            "`channel` must be one of results,",
        ),
        (lambda: plain().add_agents(NONE, gate="x"), "own: `agents` must be Sequence\\[Agent\\], got None"),
        (
            lambda: plain().add_node("x", echo, to="y").build(),
            "node 'x' names 'y', which is no gate",
        ),
        (
            lambda: plain().add_node("x", echo, to="y").add_node("x", echo, to="y"),
            "two nodes 'x'",
        ),
        (
            lambda: plain().add_agents([worker()], gate="x"),
            "these are used twice: 'worker'",
        ),
    ],
)
def test_a_team_of_ones_own_that_does_not_fit_together_is_refused(build: Callable[[], object], says: str) -> None:
    with pytest.raises(BadGraph, match=says):
        build()


@pytest.mark.parametrize("judge", [Depth(2, on_trip=Retry(1)), Limits(on_trip=Retry(0)), sends_back])
@pytest.mark.parametrize("build", [built, own, lambda guards: pipeline([worker()], guards=guards)])
def test_a_retry_where_nobody_can_try_again_is_refused(build: Callable[..., object], judge: Guard) -> None:
    says = r"guard '.*' has `on_trip=Retry\(…\)`, but judges only at (admission, )?dispatch, where there is no answer"
    with pytest.raises(BadGraph, match=says):
        build(guards=[judge])


@pytest.mark.parametrize("on_trip", [Retry(1), Retry(0)])
@pytest.mark.parametrize("kind", [Schema, partial(Budget, calls=1), partial(Deadline, 9)])
def test_a_retry_of_a_guard_that_also_judges_what_agents_answer_is_taken(kind: Any, on_trip: OnTrip) -> None:
    built(guards=[kind(on_trip=on_trip)])


@pytest.mark.parametrize("attribute", ["gates", "on_trip", "name", "judges_failures"])
@pytest.mark.parametrize("build", [built, own, lambda guards: pipeline([worker()], guards=guards)])
def test_a_guard_that_cannot_be_read_is_refused(build: Callable[..., object], attribute: str) -> None:
    def broken(_: object) -> None:
        raise OSError("the policy file is gone")

    facts = {"gates": frozenset({"handoff"}), "on_trip": Refuse(), "__call__": broken, attribute: property(broken)}
    policy: Any = type("Policy", (), facts)()

    with pytest.raises(BadGraph, match=r"a Policy that cannot be read: OSError: the policy file is gone"):
        build(guards=[policy])
