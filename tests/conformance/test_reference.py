"""What `invoke` gives: completed where the agent answers, else a gap that names it, and what the others did.

A router has one answer, that of its fallback where the agent fails.
"""

from __future__ import annotations

import json

import pytest

from tests.conformance.agents import AGENTS, BEHAVIOURS, Behaviour
from tests.conformance.cases import IMPOSSIBLE
from tests.conformance.patterns import PATTERNS
from tests.conformance.trials import reference

COMBINATIONS = [
    (pattern, agent, behaviour)
    for pattern in PATTERNS
    for agent in AGENTS
    for behaviour in BEHAVIOURS
    if (agent, behaviour) not in IMPOSSIBLE
]


@pytest.mark.parametrize(("pattern", "agent", "behaviour"), COMBINATIONS)
def test_a_plain_invoke_keeps_the_promises(pattern: str, agent: str, behaviour: Behaviour) -> None:
    ran = reference(pattern, agent, behaviour)

    assert not ran.problems
    assert ran.facts is not None
    if pattern == "router":  # one agent answers, and the fallback where that one fails
        answer = "said" if behaviour in ("answers", "asks") else "helped"
        assert (ran.facts.status, answer in json.dumps(ran.facts.value)) == ("completed", True)
        return
    if pattern == "guarded graph":  # what a team in one of its nodes leaves out is its own
        says = behaviour in ("answers", "asks")
        assert (ran.facts.status, "said" in json.dumps(ran.facts.value)) == ("completed", says)
        return
    assert "helped" in json.dumps(ran.facts.value)
    if behaviour in ("answers", "asks"):
        assert (ran.facts.status, ran.facts.gaps) == ("completed", ())
        assert "said" in json.dumps(ran.facts.value)
    else:
        assert ran.facts.status == "degraded"
        assert any("tested" in (gap[1], gap[2]) for gap in ran.facts.gaps)
