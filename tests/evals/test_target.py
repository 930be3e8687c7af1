"""What can be run on a case, and what its answer becomes."""

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
from guardgraph.evals.target import arun_case, check_target, config_for, run_case
from guardgraph.state import BadInput, Outcome, RunState, Task, TeamInput, TeamOutput
from tests.evals.answering import saying, saying_graph

CASE = Case(id="a", task=Task(goal="say hello"))
HELLO = Outcome(status="completed", value={"report": "I say hello."})


def run_with(answer: Any) -> Any:
    return run_case(lambda task: answer, CASE, {})


async def test_a_graph_and_a_function_are_run_alike() -> None:
    config = config_for(CASE, "run", None)

    run = [run_case(saying_graph(), CASE, config), run_case(saying, CASE, config)]
    run += [await arun_case(saying_graph(), CASE, config), await arun_case(saying, CASE, config)]

    assert [one.outcome for one in run] == [HELLO] * 4
    assert all(one.error is None and one.seconds > 0 for one in run)


async def test_an_asynchronous_function_is_awaited() -> None:
    async def say(task: Task) -> dict[str, Any]:
        return {"outcome": {"status": "refused"}}

    run = await arun_case(say, CASE, {})

    assert run.outcome == Outcome(status="refused")


@pytest.mark.parametrize(
    "answer", [HELLO, {"status": "completed", "value": {"report": "I say hello."}}, {"outcome": HELLO}]
)
def test_an_outcome_may_be_returned_as_its_fields(answer: Any) -> None:
    assert run_with(answer).outcome == HELLO


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ("hello", "BadInput: expected an outcome, got str: 'hello'"),
        ({"messages": []}, "BadInput: the graph returned no outcome: status: Field required"),
        ({"outcome": "hello"}, "BadInput: the graph returned no outcome: outcome: "),
        ({"status": "done"}, "BadInput: the graph returned no outcome: status: Input should be"),
    ],
)
def test_what_is_no_outcome_is_the_error_of_the_attempt(answer: Any, error: str) -> None:
    run = run_with(answer)

    assert run.outcome is None
    assert run.error.startswith(error)


async def test_what_a_graph_raises_is_the_error_of_the_attempt() -> None:
    case = Case(id="a", task=Task(goal="say boom"))

    assert run_case(saying_graph(), case, {}).error == "RuntimeError: it went off"
    assert (await arun_case(saying_graph(), case, {})).error == "RuntimeError: it went off"


def test_a_run_that_waits_for_a_human_has_no_outcome() -> None:
    graph = StateGraph(RunState, input_schema=TeamInput, output_schema=TeamOutput)
    graph.add_node("wait", lambda state: {"outcome": interrupt("sure?")})
    graph.add_edge(START, "wait")
    graph.add_edge("wait", END)

    run = run_case(graph.compile(), CASE, {})

    assert run.error == "BadInput: the run waits for a human; a graph that is evaluated must answer by itself"


def test_a_lambda_that_returns_a_coroutine_names_the_other_function() -> None:
    async def say(task: Task) -> Outcome:
        return HELLO

    assert "use `await aevaluate(…)`" in (run_case(lambda task: say(task), CASE, {}).error or "")


async def test_tracing_is_off_inside_even_if_the_environment_enables_it(monkeypatch: pytest.MonkeyPatch) -> None:
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

    assert run_case(graph.compile(), CASE, {}).outcome == HELLO
    assert (await arun_case(graph.compile(), CASE, {})).outcome == HELLO
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
        check_target(StateGraph(RunState), is_async=False)


def test_what_cannot_be_called_is_refused() -> None:
    with pytest.raises(BadInput, match="cannot evaluate 'team'; pass a compiled graph or a function"):
        check_target("team", is_async=True)


def test_an_asynchronous_function_needs_the_asynchronous_twin() -> None:
    async def say(task: Task) -> Outcome:
        return HELLO

    check_target(say, is_async=True)
    with pytest.raises(BadInput, match=r"the function is asynchronous; use `await aevaluate\(…\)`"):
        check_target(say, is_async=False)
