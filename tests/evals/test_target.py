"""What can be asked for an outcome, and what is made of the answer."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackManager
from langchain_core.runnables import RunnableConfig
from langchain_core.tracers.langchain import LangChainTracer
from langgraph.graph import END, START, StateGraph
from langgraph.types import interrupt
from langsmith.run_helpers import get_tracing_context

from guardgraph.evals import Case
from guardgraph.evals.target import aattempt, attempt, config_for, require_target
from guardgraph.state import BadInput, Outcome, RunState, Task, TeamInput, TeamOutput
from tests.evals.answering import saying, saying_graph

CASE = Case(id="a", task=Task(goal="say hello"))
HELLO = Outcome(status="completed", value={"report": "I say hello."})


def asked(told: Any) -> Any:
    return attempt(lambda task: told, CASE, {})


async def test_a_graph_and_a_function_are_asked_alike() -> None:
    config = config_for(CASE, "run", None)

    made = [attempt(saying_graph(), CASE, config), attempt(saying, CASE, config)]
    made += [await aattempt(saying_graph(), CASE, config), await aattempt(saying, CASE, config)]

    assert [one.outcome for one in made] == [HELLO] * 4
    assert all(one.error is None and one.seconds > 0 for one in made)


async def test_an_asynchronous_function_is_awaited() -> None:
    async def say(task: Task) -> dict[str, Any]:
        return {"outcome": {"status": "refused"}}

    made = await aattempt(say, CASE, {})

    assert made.outcome == Outcome(status="refused")


@pytest.mark.parametrize(
    "told", [HELLO, {"status": "completed", "value": {"report": "I say hello."}}, {"outcome": HELLO}]
)
def test_an_outcome_may_be_told_as_its_fields(told: Any) -> None:
    assert asked(told).outcome == HELLO


@pytest.mark.parametrize(
    ("told", "error"),
    [
        ("hello", "BadInput: expected an outcome, got str: 'hello'"),
        ({"messages": []}, "BadInput: what the graph told is no outcome: `status`: Field required"),
        ({"outcome": "hello"}, "BadInput: what the graph told is no outcome: `outcome`: "),
        ({"status": "done"}, "BadInput: what the graph told is no outcome: `status`: Input should be"),
    ],
)
def test_what_is_no_outcome_is_the_error_of_the_attempt(told: Any, error: str) -> None:
    made = asked(told)

    assert made.outcome is None
    assert made.error.startswith(error)


async def test_what_a_graph_raises_is_the_error_of_the_attempt() -> None:
    case = Case(id="a", task=Task(goal="say boom"))

    assert attempt(saying_graph(), case, {}).error == "RuntimeError: it went off"
    assert (await aattempt(saying_graph(), case, {})).error == "RuntimeError: it went off"


def test_a_run_that_waits_for_a_human_has_no_outcome() -> None:
    graph = StateGraph(RunState, input_schema=TeamInput, output_schema=TeamOutput)
    graph.add_node("wait", lambda state: {"outcome": interrupt("sure?")})
    graph.add_edge(START, "wait")
    graph.add_edge("wait", END)

    made = attempt(graph.compile(), CASE, {})

    assert made.error == "BadInput: the run waits for a human; a graph that is evaluated must answer by itself"


def test_a_lambda_that_returns_a_coroutine_names_the_other_function() -> None:
    async def say(task: Task) -> Outcome:
        return HELLO

    assert "use `await aevaluate(…)`" in (attempt(lambda task: say(task), CASE, {}).error or "")


async def test_tracing_is_off_inside_even_if_the_environment_asks_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANGSMITH_TRACING", "true")
    seen: list[Any] = []

    def look(state: RunState, config: RunnableConfig) -> dict[str, Any]:
        seen.append(get_tracing_context()["enabled"])
        callbacks = config.get("callbacks")
        assert isinstance(callbacks, BaseCallbackManager)
        seen.append([one for one in callbacks.handlers if isinstance(one, LangChainTracer)])
        return {"outcome": HELLO}

    graph = StateGraph(RunState, input_schema=TeamInput, output_schema=TeamOutput)
    graph.add_node("look", look)
    graph.add_edge(START, "look")
    graph.add_edge("look", END)

    assert attempt(graph.compile(), CASE, {}).outcome == HELLO
    assert (await aattempt(graph.compile(), CASE, {})).outcome == HELLO
    assert seen == [False, []] * 2


def test_every_attempt_has_a_thread_of_its_own_and_keeps_what_the_caller_gave() -> None:
    given: Any = {"configurable": {"thread_id": "mine", "tenant": "t"}, "metadata": {"x": 1}, "recursion_limit": 7}

    configs: list[Any] = [config_for(CASE, "run", given) for _ in range(2)]
    first, second = configs

    assert first["configurable"]["thread_id"] != second["configurable"]["thread_id"]
    assert first["configurable"]["tenant"] == "t"
    assert first["metadata"] == {"x": 1, "eval_run": "run", "eval_case": "a"}
    assert first["recursion_limit"] == 7
    assert given["configurable"]["thread_id"] == "mine"


def test_a_graph_that_is_not_compiled_is_refused() -> None:
    with pytest.raises(BadInput, match=r"not compiled; pass `graph\.compile\(\)`"):
        require_target(StateGraph(RunState), running_loop=False)


def test_what_cannot_be_called_is_refused() -> None:
    with pytest.raises(BadInput, match="cannot evaluate 'team'; pass a compiled graph or a function"):
        require_target("team", running_loop=True)


def test_an_asynchronous_function_needs_the_asynchronous_twin() -> None:
    async def say(task: Task) -> Outcome:
        return HELLO

    require_target(say, running_loop=True)
    with pytest.raises(BadInput, match=r"the function is asynchronous; use `await aevaluate\(…\)`"):
        require_target(say, running_loop=False)
