"""Who can do the special can do the general; the list of skills is closed."""

from __future__ import annotations

from typing import Any

import pytest

from guardgraph.agents import Agent, Skills
from guardgraph.graphs import Tier, auction, hierarchy, supervisor
from guardgraph.state import BadGraph, Plan, Request, Subtask

SHOP = Skills({"laser printing": ["printing"], "printing": ["craft"], "binding": ["craft"], "craft": []})


def test_a_skill_includes_all_that_are_more_general() -> None:
    assert SHOP.general(["laser printing"]) == {"laser printing", "printing", "craft"}
    assert SHOP.general(["craft"]) == {"craft"}
    assert SHOP.general([]) == frozenset()


def test_a_skill_with_two_parents_includes_those_of_both() -> None:
    skills = Skills({"a": ["b", "c"], "b": ["d"], "c": ["e"], "d": [], "e": []})

    assert skills.general(["a"]) == {"a", "b", "c", "d", "e"}


@pytest.mark.parametrize(
    ("parents", "reason"),
    [
        ({"a": ["b"], "b": ["a"]}, "a skill is its own parent: '[ab]' -> '[ab]' -> '[ab]'"),
        ({"a": ["a"]}, "a skill is its own parent: 'a' -> 'a'"),
        ({"laser": ["pritning"], "printing": []}, "'laser' name 'pritning', .* the nearest is 'printing'"),
        ({" ": []}, "a skill needs a name, got an empty one"),
        ({"a": [""]}, "name '', which is not listed$"),
        ({"a": "b"}, "must be"),
        ({7: []}, "must be"),
    ],
)
def test_what_fits_no_ontology_is_refused(parents: Any, reason: str) -> None:
    with pytest.raises(BadGraph, match=reason):
        Skills(parents)


def test_an_agent_is_expanded_with_its_fallbacks() -> None:
    spare = Agent("spare", run=str, skills=["binding"])
    agent = SHOP.expanded(Agent("press", run=str, skills=["laser printing"], fallback=spare))

    assert agent.skills == {"laser printing", "printing", "craft"}
    assert agent.fallback is not None
    assert agent.fallback.skills == {"binding", "craft"}


def test_an_agent_with_a_skill_that_is_not_listed_is_refused() -> None:
    with pytest.raises(
        BadGraph, match=r"agent 'press': Skills: the skill 'lazer printing', .* nearest are 'laser printing'"
    ):
        SHOP.expanded(Agent("press", run=str, skills=["lazer printing"]))


def plan(request: Request) -> Plan:
    return Plan(subtasks=(Subtask(id="job", goal="print it", skill="printing"),) if request.round == 1 else ())


@pytest.mark.parametrize("pattern", ["supervisor", "hierarchy", "auction"])
def test_the_special_does_the_general_in_every_pattern_that_selects_by_skill(pattern: str) -> None:
    planner, worker = Agent("planner", run=plan), Agent("press", run=lambda r: "printed", skills=["laser printing"])

    def built(skills: Skills | None) -> Any:
        if pattern == "supervisor":
            return supervisor(planner=planner, workers=[worker], skills=skills)
        if pattern == "hierarchy":
            return hierarchy(Tier(planner, [worker]), skills=skills)
        return auction([worker], planner=planner, skills=skills)

    assert built(SHOP).compile().invoke({"task": "t"})["outcome"].status == "completed"
    outcome = built(None).compile().invoke({"task": "t"})["outcome"]
    assert outcome.status == "failed"
    assert "has the skill" in outcome.gaps[0].reason
    assert "the nearest is 'laser printing'" in outcome.gaps[0].reason


def test_the_general_does_not_do_the_special() -> None:
    def special(request: Request) -> Plan:
        return Plan(subtasks=(Subtask(id="job", goal="print it", skill="laser printing"),))

    worker = Agent("press", run=lambda r: "printed", skills=["printing"])
    outcome = auction([worker], planner=Agent("p", run=special), skills=SHOP).compile().invoke({"task": "t"})["outcome"]

    assert outcome.status == "failed"
