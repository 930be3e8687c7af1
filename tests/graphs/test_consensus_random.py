"""Random panels of agents that answer, fail and answer garbage: every run ends in an outcome that adds up."""

from __future__ import annotations

import os
from collections import Counter
from random import Random
from typing import Any

import pytest

from guardgraph.agents import Agent
from guardgraph.graphs import CandidateScore, RubricScores, confidence_weighted, consensus, majority, plurality
from guardgraph.nodes.decisions.ballots import VotingRule
from guardgraph.state import Reply, Request
from tests.graphs.panels import final_state, scored

SEEDS = int(os.environ.get("GUARDGRAPH_SEARCH", "60"))


def _panelist(random: Random, name: str) -> Agent:
    kind = random.choice(["answers", "answers", "answers", "raises", "garbage", "moves"])
    value, confidence = random.choice("abc"), random.choice([None, 0.2, 1.0])

    def work(request: Request) -> Any:
        if kind == "raises":
            raise ValueError("no opinion")
        if kind == "garbage":
            return {"x": 1}
        return Reply(value="abc"[request.round % 3] if kind == "moves" else value, confidence=confidence)

    return Agent(name, run=work, attempts=random.choice([1, 2]))


def _judge(random: Random) -> Agent | None:
    kind = random.choice(["none", "fair", "ties", "raises", "unfit"])

    def work(request: Request) -> Any:
        if kind == "raises":
            raise ValueError("no judgement")
        if kind == "unfit":
            return RubricScores(scores=(CandidateScore(candidate="Z", criterion="accuracy", score=1),))
        return scored(request, lambda value: 3 if kind == "ties" else 1 + ord(value) % 3)

    return None if kind == "none" else Agent("judge", run=work)


def _tie_breaker(random: Random) -> Agent | None:
    kind = random.choice(["none", "chooses", "raises", "unfit"])

    def work(request: Request) -> Any:
        if kind == "raises":
            raise ValueError("no choice")
        return "nobody" if kind == "unfit" else min(request.results, key=lambda item: str(item.value)).title

    return None if kind == "none" else Agent("chair", run=work)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_every_run_ends_in_an_outcome_that_adds_up(seed: int) -> None:
    random = Random(seed)
    panel = [_panelist(random, f"p{number}") for number in range(random.randint(2, 6))]
    judge = _judge(random)
    rules: list[VotingRule | None] = [plurality, majority, confidence_weighted, *([None] if judge else [])]
    rule = random.choice(rules)
    graph = consensus(
        panel,
        answer=str,
        vote=rule,
        judge=judge,
        tie_breaker=_tie_breaker(random),
        quorum=random.randint(1, len(panel)),
        rounds=random.choice([1, 1, 3]),
    )
    state = final_state(graph)
    outcome, names = state["outcome"], {agent.name for agent in panel}
    latest = {result.agent: result for result in state["results"] if result.agent in names and result.has_value}

    assert outcome.status in ("completed", "degraded", "escalated", "failed")
    assert (outcome.status == "completed") <= (not outcome.gaps)
    assert {gap.agent for gap in outcome.gaps} >= names - latest.keys()  # who has never answered is missing
    assert (outcome.value is None) == (not latest)
    assert all(result.round <= 3 for result in state["results"])
    if outcome.status in ("completed", "degraded"):
        others = Counter(result.value for result in latest.values() if result.value != outcome.value)
        assert outcome.value in {result.value for result in latest.values()}
        assert Counter(outcome.dissent) == others
        assert 0 <= outcome.confidence <= len(latest) / len(panel) + 1e-9
    else:
        assert outcome.reason or outcome.status == "failed"
