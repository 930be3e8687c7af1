"""Random swarms: every run ends, nothing that was sent is lost without a trace, and no limit is exceeded."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from guardgraph.agents import Agent
from guardgraph.graphs import swarm
from guardgraph.guards import Limits
from guardgraph.nodes.decisions.conversation import TEAM, open_asks, sent_in
from guardgraph.state import Message, Outcome, Reply, Request
from tests.conformance.random_peers import random_message

NAMES = ("a", "b", "c", "d")


class Swarm:
    """Peers that do what a seed says, and what each of them was given."""

    def __init__(self, seed: int) -> None:
        self.seed, self.random, self.given = seed, Random(seed), Counter[tuple[str, str]]()
        self.limit = self.random.choice([0, 3, 20, 60])
        self.peers = [Agent(name, run=self.work, attempts=self.random.choice([1, 2])) for name in NAMES]
        self.failing = self.random.choice([0.0, 0.1, 0.4])
        self.talking = self.random.choice([0.3, 0.7, 1.0])

    def work(self, request: Request) -> Any:
        name = request.path[-1]
        random = Random(f"{self.seed} {name} {request.round} {request.attempt}")
        if request.attempt == 1:
            self.given.update((message.id, name) for message in request.messages)
        if random.random() < self.failing:
            raise ValueError("it fails")
        others = [other for other in NAMES if other != name]
        messages = [random_message(random, others, request) for _ in range(3) if random.random() < self.talking / 2]
        over = [one for one in messages if one.performative == "hand_off"]
        messages = [one for one in messages if one not in over[1:]]
        value = random.choice([None, "an answer", 7])
        return Reply(value=value, messages=tuple(messages), memory=random.choice([None, {"seen": 1}]))

    def graph(self) -> Any:
        random = self.random
        order = random.sample(self.peers, random.randint(1, 4))
        boss = Agent("boss", run=lambda request: random.choice([{"order": ["c", "a"]}, {"answer": 1}, {}]))
        return swarm(
            self.peers,
            start=random.sample(self.peers, random.randint(1, 4)),
            acceptance=random.choice([None, None, "unanimous", "majority", ["a", "b"]]),
            tie_breaker=random.choice([None, order, boss]),
            proposals=random.randint(1, 6),
            per_pair=random.choice([None, 4]),
            per_peer=random.choice([None, 9]),
            window=random.choice([2, 8]),
            guards=[Limits(messages=self.limit, visits=random.choice([3, 100]))],
        )


def is_counted(id_: str, log: list[Message]) -> bool:
    """Whether the team itself reads a message: an answer to a proposal counts although its recipient has ended."""
    return next(one for one in log if one.id == id_).performative in ("accept", "reject")


def silent_of(state: Any) -> set[str]:
    """Return the peers whose latest attempt was not accepted."""
    latest = {result.agent: result.id for result in state["results"]}
    return {name for name, id_ in latest.items() if id_ not in state["accepted"]}


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 10**9))
def test_a_random_swarm_keeps_the_promises(seed: int) -> None:
    given_ = Swarm(seed)
    state = list(given_.graph().compile().stream({"task": "the task"}, stream_mode="values"))[-1]
    outcome: Outcome = state["outcome"]
    log: list[Message] = state["log"]
    ids = {message.id for message in log}

    assert outcome.status != "completed" or not outcome.gaps
    assert outcome.status != "completed" or outcome.value is not None
    assert sum(len(one.recipients) for one in log if one.sender != TEAM) <= given_.limit
    assert len(ids) == len(log)
    delivered = Counter((one.id, name) for one in log for name in one.recipients)
    seen = Counter({at: count for at, count in given_.given.items() if at[0] != "alone"})
    assert seen <= delivered, "each message is delivered at most once, and only what is in the log"
    lost = {gap.subtask for gap in outcome.gaps if "not delivered" in gap.reason}
    unseen = {id_ for id_, _ in delivered - seen if not is_counted(id_, log)}
    assert state["agreement"] is not None or "run" in lost or unseen <= lost, "what is not delivered is a gap"
    is_over = state["agreement"] is not None or state["control"]["tie"] is not None
    silent = silent_of(state)
    waiting = [one for one in open_asks(log) if one.message.sender not in silent]
    assert outcome.status != "completed" or is_over or not waiting, "nobody waits for an answer in a whole outcome"
    missing = {gap.subtask for gap in outcome.gaps}
    results = [result for result in state["results"] if result.id in state["accepted"]]
    ids |= {one.in_reply_to for one in log if one.sender == TEAM}  # what was returned to its sender
    silent |= {result.agent for result in state["results"]} - {result.agent for result in results} | missing
    for message in (message for result in results for message in sent_in(result)):
        is_known = message.id in ids or message.id in missing or silent.issuperset(message.recipients)
        assert is_known or state.get("ending") is not None
