"""Running a graph, or a function, on one case."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol, cast, runtime_checkable

from langchain_core.runnables import RunnableConfig
from langsmith import tracing_context
from pydantic import ValidationError

from guardgraph.evals.case import Case, CaseResult
from guardgraph.state import BadInput, Outcome, Task, error_text, new_id, validation_text

__all__ = ("InvocableGraph", "Target", "arun_case", "check_target", "config_for", "run_case")


@runtime_checkable
class InvocableGraph(Protocol):
    """A graph that can be run in sync and async, as every compiled LangGraph graph can."""

    def invoke(self, input: Any, config: RunnableConfig | None = None) -> Any:
        """Run it and return its output."""
        ...

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None) -> Any:
        """Run it in an event loop and return its output."""
        ...


Target = InvocableGraph | Callable[[Task], Any]
"""What is evaluated: a compiled graph that takes `task` and returns an `outcome`, or such a function."""


def check_target(target: object, *, is_async: bool) -> None:
    """Check that `target` can be run.

    Raises:
        BadInput: `target` is neither a compiled graph nor a function, or is a coroutine function and not `is_async`.
    """
    if isinstance(target, InvocableGraph):
        return
    if hasattr(target, "compile"):
        raise BadInput("the graph is not compiled; pass `graph.compile()`")
    if not callable(target):
        raise BadInput(f"cannot evaluate {target!r:.80}; pass a compiled graph or a function of a task")
    if inspect.iscoroutinefunction(target) and not is_async:
        raise BadInput("the function is asynchronous; use `await aevaluate(…)`")


def config_for(case: Case, run_name: str, given: RunnableConfig | None) -> RunnableConfig:
    """Return the config of one attempt: the caller's, with a thread id that no other attempt shares."""
    config: RunnableConfig = {**(given or {})}
    config["configurable"] = {**config.get("configurable", {}), "thread_id": f"eval-{new_id()}"}
    config["metadata"] = {**config.get("metadata", {}), "eval_run": run_name, "eval_case": case.id}
    return config


def run_case(target: Target, case: Case, config: RunnableConfig) -> CaseResult:
    """Run `target` on `case` with LangSmith's tracing off; an exception becomes the error of the result."""
    started, error = time.perf_counter(), None
    try:
        with tracing_context(enabled=False):
            is_graph = isinstance(target, InvocableGraph)
            outcome = _outcome_in(target.invoke({"task": case.task}, config) if is_graph else target(case.task))
    except Exception as raised:
        outcome, error = None, error_text(raised)
    return CaseResult(case=case.id, outcome=outcome, error=error, seconds=time.perf_counter() - started)


async def arun_case(target: Target, case: Case, config: RunnableConfig) -> CaseResult:
    """See `run_case`; a function may return an awaitable."""
    started, error = time.perf_counter(), None
    try:
        with tracing_context(enabled=False):
            is_graph = isinstance(target, InvocableGraph)
            answer = target.ainvoke({"task": case.task}, config) if is_graph else target(case.task)
            outcome = _outcome_in(await answer if inspect.isawaitable(answer) else answer)
    except Exception as raised:
        outcome, error = None, error_text(raised)
    return CaseResult(case=case.id, outcome=outcome, error=error, seconds=time.perf_counter() - started)


def _outcome_in(answer: object) -> Outcome:
    if isinstance(answer, Outcome):
        return answer
    if inspect.iscoroutine(answer):
        answer.close()
        raise BadInput("the function returned a coroutine; use `await aevaluate(…)`")
    if not isinstance(answer, Mapping):
        raise BadInput(f"expected an outcome, got {type(answer).__name__}: {answer!r:.80}")
    fields = cast(Mapping[str, Any], answer)
    if "__interrupt__" in fields:
        raise BadInput("the run waits for a human; a graph that is evaluated must answer by itself")
    try:
        return Outcome.model_validate(fields.get("outcome", fields))
    except ValidationError as error:
        faults = validation_text(error, whole="outcome")
        raise BadInput(f"the graph returned no outcome: {faults}") from error
