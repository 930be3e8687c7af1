"""What a tracer sees of an agent: a run of its own, with its error, though the graph goes on."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import FakeListChatModel
from langchain_core.tracers.base import BaseTracer
from langchain_core.tracers.schemas import Run
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import interrupt

from guardgraph.agents import Agent
from guardgraph.graphs import pipeline
from guardgraph.models.offline import ScriptedModel
from guardgraph.state import Request
from tests.graphs.teams import WAYS, plan_of, team, worker


class Trace(BaseTracer):
    """Keeps the runs that a LangChain tracer would send."""

    def __init__(self) -> None:
        super().__init__()
        self.root: Any = None

    def _persist_run(self, run: Run) -> None:
        self.root = run

    def attempts(self, name: str) -> list[Run]:
        """Return the runs of an agent that stand below the runs of its node."""
        return [run for node in below(self.root, name) for run in node.child_runs if run.name == name]


def below(run: Run, name: str) -> list[Run]:
    """Return the runs with this name below `run`, outermost only."""
    found: list[Run] = []
    for child in run.child_runs:
        found.extend([child] if child.name == name else below(child, name))
    return found


def breaks(request: Request) -> str:
    raise LookupError(f"no source for {request.goal}")


async def abreaks(request: Request) -> str:
    await asyncio.sleep(0)
    return breaks(request)


async def hangs(request: Request) -> str:
    await asyncio.sleep(60)
    return ""


def traced(graph: Any, way: str) -> tuple[Trace, Any]:
    trace = Trace()
    return trace, WAYS[way](graph, "the task", {"callbacks": [trace]})


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("run", [breaks, abreaks])
def test_the_run_of_an_agent_that_raises_names_its_error_and_the_graph_goes_on(way: str, run: Any) -> None:
    graph = team(plan_of("a"), workers=[Agent("broken", run=run)]).compile()

    trace, outcome = traced(graph, way)

    (attempt,) = trace.attempts("broken")
    assert attempt.error is not None
    assert attempt.error.startswith("LookupError('no source for do a')")
    assert "in breaks" in attempt.error, "the traceback is included"
    assert attempt.inputs["request"].goal == "do a"
    assert (outcome.gaps[0].agent, trace.root.error) == ("broken", None)
    assert [node.error for node in below(trace.root, "broken")] == [None], "the node itself has written a result"


@pytest.mark.parametrize("way", WAYS)
def test_the_run_of_an_agent_that_answers_holds_its_value_and_the_calls_of_its_models(way: str) -> None:
    talker = Agent("talker", run=create_agent(FakeListChatModel(responses=["said"]), []))
    graph = pipeline([worker("first"), talker]).compile()

    trace, outcome = traced(graph, way)

    assert outcome.status == "completed"
    (first,), (second,) = trace.attempts("first"), trace.attempts("talker")
    assert (first.error, first.outputs) == (None, {"output": "done: the task"})
    assert (second.error, second.outputs) == (None, {"output": "said"})
    assert [run.run_type for run in below(second, "FakeListChatModel")] == ["llm"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("agent", "error"),
    [
        (Agent("a", run=hangs, timeout=0.1), "no answer after"),
        (Agent("a", run=lambda request: "no number", output=int), "does not fit"),
        (Agent("a", run=lambda request: None), "it returned None"),
        (Agent("a", run=team(workers=[worker()], synthesizer=None).compile()), "the team ended as failed"),
    ],
    ids=["hangs", "answers garbage", "answers nothing", "is a team that failed"],
)
def test_an_attempt_without_a_value_is_an_error_that_says_why(agent: Agent, error: str, way: str) -> None:
    trace, _ = traced(pipeline([agent]).compile(), way)

    attempts = trace.attempts("a")
    assert attempts
    assert all(error in str(attempt.error) for attempt in attempts)


@pytest.mark.parametrize("way", WAYS)
def test_every_attempt_is_a_run_also_in_a_nested_team(way: str) -> None:
    tries: list[int] = []

    def once_broken(request: Request) -> str:
        tries.append(request.attempt)
        if request.attempt == 1:
            raise LookupError("the first time")
        return "found"

    low = pipeline([Agent("tries", run=once_broken, attempts=2)], name="low").compile()

    trace, outcome = traced(team(plan_of("a"), workers=[Agent("low", run=low)]).compile(), way)

    assert outcome.status == "completed"
    (attempt,) = trace.attempts("low")
    errors = [run.error for node in below(attempt, "tries") for run in node.child_runs if run.name == "tries"]
    assert [error is None for error in errors] == [False, True]
    assert attempt.error is None


@pytest.mark.parametrize("way", WAYS)
def test_no_run_is_left_open_where_an_agent_asks_a_human(way: str) -> None:
    graph = pipeline([Agent("asks", run=lambda request: interrupt("ok?"))]).compile(checkpointer=InMemorySaver())
    trace = Trace()
    config: Any = {"callbacks": [trace], "configurable": {"thread_id": "t"}}

    WAYS[way](graph, "the task", config)

    (attempt,) = trace.attempts("asks")
    assert attempt.error is not None
    assert "Interrupt" in attempt.error
    assert attempt.end_time is not None


class Counts(BaseCallbackHandler):
    """Counts the callbacks of chains."""

    def __init__(self) -> None:
        self.open: set[Any] = set()
        self.errors: list[BaseException] = []

    def on_chain_start(self, serialized: Any, inputs: Any, *, run_id: Any, **kwargs: Any) -> None:
        self.open.add(run_id)

    def on_chain_end(self, outputs: Any, *, run_id: Any, **kwargs: Any) -> None:
        self.open.discard(run_id)

    def on_chain_error(self, error: BaseException, *, run_id: Any, **kwargs: Any) -> None:
        self.open.discard(run_id)
        self.errors.append(error)


@pytest.mark.parametrize("way", WAYS)
def test_any_handler_gets_the_error_itself_and_every_run_that_begins_ends(way: str) -> None:
    said = ScriptedModel(replies=["said"])
    graph = team(plan_of("a", "b"), workers=[Agent("broken", run=breaks), Agent("model", model=said)]).compile()
    counts = Counts()

    WAYS[way](graph, "the task", {"callbacks": [counts]})

    assert [type(error) for error in counts.errors] == [LookupError]
    assert counts.open == set()
