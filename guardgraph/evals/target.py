"""Asking a graph, or a function, for the outcome of a case."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol, cast, runtime_checkable

from langchain_core.runnables import RunnableConfig
from langsmith import tracing_context
from pydantic import ValidationError

from guardgraph.evals.case import Case
from guardgraph.state import BadInput, Outcome, Task, error_text, new_id

__all__ = ("CaseRun", "InvocableGraph", "Target", "aattempt", "attempt", "config_for", "require_target")


@runtime_checkable
class InvocableGraph(Protocol):
    """What is asked of a graph: the two ways to run it, as every compiled LangGraph graph has them."""

    def invoke(self, input: Any, config: RunnableConfig | None = None) -> Any:
        """Run it and return its output."""
        ...

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None) -> Any:
        """Run it in an event loop and return its output."""
        ...


Target = InvocableGraph | Callable[[Task], Any]
"""What is evaluated: a compiled graph that takes `task` and tells `outcome`, or such a function."""


class CaseRun(NamedTuple):
    """What came of asking."""

    outcome: Outcome | None
    error: str | None
    seconds: float


def require_target(target: object, *, running_loop: bool) -> None:
    """Refuse at once what cannot be asked.

    Raises:
        BadInput: `target` is neither a compiled graph nor a function, or is a coroutine function without a loop.
    """
    if isinstance(target, InvocableGraph):
        return
    if hasattr(target, "compile"):
        raise BadInput("the graph is not compiled; pass `graph.compile()`")
    if not callable(target):
        raise BadInput(f"cannot evaluate {target!r:.80}; pass a compiled graph or a function of a task")
    if inspect.iscoroutinefunction(target) and not running_loop:
        raise BadInput("the function is asynchronous; use `await aevaluate(…)`")


def config_for(case: Case, run_name: str, given: RunnableConfig | None) -> RunnableConfig:
    """Return the config of one attempt: what the caller gave, on a thread that no other attempt shares."""
    config: RunnableConfig = {**(given or {})}
    config["configurable"] = {**config.get("configurable", {}), "thread_id": f"eval-{new_id()}"}
    config["metadata"] = {**config.get("metadata", {}), "eval_run": run_name, "eval_case": case.id}
    return config


def attempt(target: Target, case: Case, config: RunnableConfig) -> CaseRun:
    """Ask for the outcome of `case`, with LangSmith's tracing off; what is raised becomes the attempt's error."""
    began = time.perf_counter()
    try:
        with tracing_context(enabled=False):
            told = (
                target.invoke({"task": case.task}, config) if isinstance(target, InvocableGraph) else target(case.task)
            )
        return CaseRun(_outcome_in(told), None, time.perf_counter() - began)
    except Exception as error:
        return CaseRun(None, error_text(error), time.perf_counter() - began)


async def aattempt(target: Target, case: Case, config: RunnableConfig) -> CaseRun:
    """See `attempt`; a function may return an awaitable."""
    began = time.perf_counter()
    try:
        with tracing_context(enabled=False):
            if isinstance(target, InvocableGraph):
                told = await target.ainvoke({"task": case.task}, config)
            else:
                told = target(case.task)
                told = await told if inspect.isawaitable(told) else told
        return CaseRun(_outcome_in(told), None, time.perf_counter() - began)
    except Exception as error:
        return CaseRun(None, error_text(error), time.perf_counter() - began)


def _outcome_in(told: object) -> Outcome:
    if isinstance(told, Outcome):
        return told
    if inspect.iscoroutine(told):
        told.close()
        raise BadInput("the function returned a coroutine; use `await aevaluate(…)`")
    if not isinstance(told, Mapping):
        raise BadInput(f"expected an outcome, got {type(told).__name__}: {told!r:.80}")
    fields = cast(Mapping[str, Any], told)
    if "__interrupt__" in fields:
        raise BadInput("the run waits for a human; a graph that is evaluated must answer by itself")
    found = fields.get("outcome", fields)
    try:
        return found if isinstance(found, Outcome) else Outcome.model_validate(found)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(map(str, first["loc"])) or "outcome"
        raise BadInput(f"what the graph told is no outcome: `{field}`: {first['msg']}") from error
