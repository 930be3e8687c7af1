from __future__ import annotations

import time
from typing import Any

import pytest

from guardgraph.agents import Agent
from guardgraph.graphs import Tier, WideTeamWarning, hierarchy, supervisor
from guardgraph.guards import Budget, Deadline, Depth
from guardgraph.state import BadGraph, Plan, Request, Subtask
from tests.graphs.teams import WAYS, echo, listed, planner, speaker, worker


def lead(name: str, *skills: str) -> Agent:
    """Return a lead that plans one subtask for each skill, in the first round."""

    def plan(request: Request) -> Plan:
        if request.round > 1:
            return Plan()
        return Plan(subtasks=tuple(Subtask(id=skill, goal=f"{request.goal}: {skill}", skill=skill) for skill in skills))

    return Agent(name, run=plan)


def skilled(skill: str, run: Any = echo, **facts: Any) -> Agent:
    return Agent(f"{skill}er", run=run, skills={skill}, **facts)


def values(request: Request) -> list[Any]:
    return [item.value for item in request.results]


def three_tiers(run: Any = echo, **facts: Any) -> Tier:
    """Return a chief over two leads, of which one leads another one."""
    low = Tier(lead("low", "dig", "lay"), [skilled("dig", run), skilled("lay")], name="low team")
    middle = Tier(lead("middle", "low team", "wire"), [low, skilled("wire")], name="middle team", **facts)
    writer = Agent("writer", run=values)
    return Tier(lead("chief", "middle team", "paint"), [middle, skilled("paint")], synthesizer=writer)


@pytest.mark.parametrize("way", WAYS)
def test_each_tier_plans_for_its_own_members_and_answers_as_one_worker(way: str) -> None:
    outcome = WAYS[way](hierarchy(three_tiers()).compile(), "build", None)

    assert outcome.status == "completed"
    (middle, paint) = listed(outcome)
    assert paint == "done: build: paint"
    (low, wire) = middle
    assert wire == {"subtask": "wire", "agent": "wireer", "value": "done: build: middle team: wire"}
    assert [item["agent"] for item in low["value"]] == ["diger", "layer"]


def test_a_tier_sees_nothing_of_the_tiers_beside_and_above_it() -> None:
    seen: dict[str, Request] = {}

    def look(request: Request) -> str:
        seen[request.path[-1]] = request
        return "done"

    def plan(request: Request) -> Plan:
        if request.round == 1:
            seen[request.path[-1]] = request
        both = Subtask(id="a", goal="do a", skill="a-tier"), Subtask(id="b", goal="do b", skill="b-tier")
        return Plan(subtasks=both) if request.round == 1 else Plan()

    tiers = [Tier(lead(name, f"{name}1"), [Agent(f"{name}1", run=look)]) for name in ("a", "b")]
    top = Tier(Agent("chief", run=plan), tiers)
    hierarchy(top).compile().invoke({"task": "the task"})

    roster = [(item.title, item.value) for item in seen["chief"].context]
    assert roster == [("a-tier", {"skills": []}), ("b-tier", {"skills": []})], "not the workers below"
    assert (seen["a1"].context, seen["a1"].task.goal, seen["a1"].task.origin) == ((), "do a", "the task")


def test_a_failure_below_is_a_gap_above_and_the_other_tiers_go_on() -> None:
    def fails(request: Request) -> str:
        raise ValueError("the spade broke")

    outcome = hierarchy(three_tiers(fails)).compile().invoke({"task": "build"})["outcome"]

    assert outcome.status == "degraded"
    assert [(gap.path, gap.subtask) for gap in outcome.gaps] == [
        (("middle team:middle team", "low team:low team"), "dig")
    ]
    assert listed(outcome)[1] == "done: build: paint"


def test_a_tier_spends_no_more_than_its_share() -> None:
    work = speaker("talker", read=50, written=50)
    low = Tier(
        planner(*[Plan(subtasks=tuple(Subtask(id=f"s{n}", goal="talk") for n in range(50)))]), [work], budget_share=0.25
    )
    top = Tier(lead("chief", "planner-tier"), [low], synthesizer=worker("writer"))

    outcome = hierarchy(top, guards=[Budget(tokens=4_000, reserve=0)]).compile().invoke({"task": "talk"})["outcome"]

    assert outcome.status == "degraded"
    assert 0 < outcome.usage.tokens <= 1_000


def test_a_tier_ends_before_the_one_above_it_has_to_write() -> None:
    def hangs(request: Request) -> str:
        time.sleep(30)
        return "never"

    graph = hierarchy(three_tiers(hangs), guards=[Deadline(1.0)])
    began = time.monotonic()
    outcome = graph.compile().invoke({"task": "build"})["outcome"]

    assert time.monotonic() - began < 3
    (middle, paint) = listed(outcome)
    assert paint == "done: build: paint"
    assert middle[1]["value"] == "done: build: middle team: wire", "what the tiers in between have is not lost"
    assert {gap.subtask for gap in outcome.gaps} == {"dig"}


def test_depth_is_counted_over_all_tiers() -> None:
    outcome = hierarchy(three_tiers(), guards=[Depth(2)]).compile().invoke({"task": "build"})["outcome"]

    assert outcome.status == "degraded"
    assert {gap.guard for gap in outcome.gaps} == {"Depth"}
    assert "diger" not in str(outcome.value)


@pytest.mark.parametrize(
    ("count", "span", "leads"), [(1, 5, 1), (5, 5, 1), (6, 5, 3), (25, 5, 6), (26, 5, 9), (9, 2, 8)]
)
def test_tiers_are_made_of_a_list_of_workers(count: int, span: int, leads: int) -> None:
    tier = Tier.of_workers([worker(f"w{n}") for n in range(count)], lead=planner(), span=span)

    found, names = [tier], [tier.lead.name]
    for one in found:
        assert len(one.members) <= span
        found.extend(member for member in one.members if isinstance(member, Tier))
        names.extend(member.lead.name for member in one.members if isinstance(member, Tier))
    assert len(found) == len(set(names)) == leads
    assert [agent.name for agent in _agents(tier)] == [f"w{n}" for n in range(count)], "everyone, in order"
    hierarchy(tier, tiers=tier.levels)


def _agents(tier: Tier) -> list[Agent]:
    found = list[Agent]()
    for member in tier.members:
        found.extend(_agents(member) if isinstance(member, Tier) else [member])
    return found


def test_a_wide_team_is_warned_of_where_it_is_built() -> None:
    with pytest.warns(
        WideTeamWarning, match="'planner' leads 11 workers.*`hierarchy` with `Tier.of_workers`"
    ) as caught:
        supervisor(planner=planner(), workers=[worker(f"w{n}") for n in range(11)])
    assert caught[0].filename == __file__
    with pytest.warns(WideTeamWarning, match="'planner' leads 11 workers"):
        hierarchy(Tier(planner(), [worker(f"w{n}") for n in range(11)]))
    supervisor(planner=planner(), workers=[worker(f"w{n}") for n in range(10)])  # no warning: it would be an error here


make: Any = Tier
built: Any = hierarchy


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda: Tier(planner(), []), "the tier of 'planner' needs at least one member"),
        (lambda: make(planner(), worker()), "`members` must be a list, got one Agent"),
        (lambda: make("planner", [worker()]), "`lead` must be Agent, got 'planner'"),
        (lambda: Tier(planner(), [worker()], attempts=0), "`attempts` must be at least 1, got 0"),
        (lambda: hierarchy(three_tiers(), tiers=2), r"there are 3 tiers, and 2 are allowed.*tiers=3"),
        (lambda: built([worker()]), "`top` must be Tier"),
        (lambda: hierarchy(Tier(planner(), [worker("a"), worker("a")])), "used twice: 'a'"),
        (lambda: Tier.of_workers([], lead=planner()), "needs at least one member"),
        (lambda: Tier.of_workers([worker()], lead=planner(), span=1), "`span` must be at least 2, got 1"),
        (lambda: hierarchy(three_tiers(budget_share=2)), "`budget_share` must be above 0 and at most 1"),
    ],
)
def test_what_is_declared_wrongly_is_refused(wrong: Any, says: str) -> None:
    with pytest.raises(BadGraph, match=says):
        wrong()
