"""Panels for tests: agents that answer a value, judges that follow a preference, and all that is sent to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from langgraph.graph import StateGraph

from guardgraph.agents import Agent
from guardgraph.graphs import CandidateScore, RubricScores
from guardgraph.state import Outcome, Reply, Request


class Sent:
    """Remembers what each agent was sent."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, Request]] = []

    def to(self, *names: str) -> list[Request]:
        """Return the requests to these agents, in their order."""
        return [request for name, request in self.requests if name in names]

    def agent(self, name: str, run: Callable[[Request], Any], **facts: Any) -> Agent:
        def work(request: Request) -> Any:
            self.requests.append((name, request))
            return run(request)

        return Agent(name, run=work, **facts)

    def says(self, name: str, *values: Any, **facts: Any) -> Agent:
        """Return an agent that answers the first value in round 1, the second in round 2, the last ever after."""
        return self.agent(name, lambda request: values[min(request.round, len(values)) - 1], **facts)

    def panel(self, *values: Any, **facts: Any) -> list[Agent]:
        """Return panelists with names that occur in no other text."""
        return [self.says(f"panelist_{number}", value, **facts) for number, value in enumerate(values)]

    def judge(self, prefers: Any, name: str = "judge", **facts: Any) -> Agent:
        """Return a judge that gives 5 to one value and 2 to others."""
        return self.agent(name, lambda request: scored(request, lambda value: 5 if value == prefers else 2), **facts)


def sure(value: Any, confidence: float) -> Reply:
    return Reply(value=value, confidence=confidence)


def scored(request: Request, score: Callable[[Any], int]) -> RubricScores:
    """Return the scores of all candidates in a request, on all its criteria."""
    criteria: Sequence[str] = list(next(item.value for item in request.context if item.title == "rubric"))  # type: ignore[arg-type]
    return RubricScores(
        scores=tuple(
            CandidateScore(candidate=item.title, criterion=criterion, score=score(item.value))
            for item in request.results
            for criterion in criteria
        )
    )


def outcome_of(graph: StateGraph[Any, Any, Any, Any], task: Any = "Is it acceptable?", **given: Any) -> Outcome:
    return final_state(graph, task, **given)["outcome"]


def final_state(graph: StateGraph[Any, Any, Any, Any], task: Any = "Is it acceptable?", **given: Any) -> Any:
    return list(graph.compile().stream({"task": task, **given}, stream_mode="values"))[-1]
