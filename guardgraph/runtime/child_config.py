"""What the code of an agent inherits by config and by context: its position, and the handlers of its own budget."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import contextmanager
from contextvars import Context, ContextVar
from functools import cache
from typing import Any

from langchain_core.callbacks import BaseCallbackHandler, BaseCallbackManager
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import set_config_context

from guardgraph.runtime.budget.attempt_budget import AttemptBudget
from guardgraph.runtime.budget.callback_handler import HANDLERS
from guardgraph.runtime.execution_context import KEY, ExecutionContext, enter

__all__ = ("child_config", "metered")

_HANDLERS: tuple[ContextVar[BaseCallbackHandler | None], ...] = (
    ContextVar("guardgraph_async_handler", default=None),
    ContextVar("guardgraph_handler", default=None),
)

_METERS: ContextVar[int] = ContextVar("guardgraph_meters", default=0)
"""How many agents with guards of their own are around the current code, one within the other."""


@contextmanager
def metered(budget: AttemptBudget) -> Generator[None]:
    """Count and judge by `budget` all calls within, beside what attempts and other such agents around them do."""
    _register_hooks()
    within = _METERS.get()
    depth, variables = _METERS.set(within + 1), _own_handlers(within)
    tokens = [variable.set(handler(budget)) for variable, handler in zip(variables, HANDLERS, strict=True)]
    try:
        yield
    finally:
        for variable, token in zip(variables, tokens, strict=True):
            variable.reset(token)
        _METERS.reset(depth)


def child_config(config: RunnableConfig, execution: ExecutionContext) -> tuple[RunnableConfig, Context]:
    """Return `config`, and a context in which all that is called inherits it, for the code of the agent.

    The handlers of its own budget replace those of the level above.
    """
    _register_hooks()
    handlers: list[BaseCallbackHandler] = [handler(execution.budget) for handler in HANDLERS]
    child: RunnableConfig = {
        **config,
        "callbacks": _with_handlers(config.get("callbacks"), handlers),
        "configurable": {**(config.get("configurable") or {}), KEY: execution},
    }
    with set_config_context(child) as context:
        context.run(_enter, execution, handlers)
        return child, context.copy()  # the first one is reset at the end of the block


@cache
def _own_handlers(depth: int) -> tuple[ContextVar[Any], ...]:
    """Return where the handlers are of an agent with guards of its own, which is within `depth` others."""
    names = ("async_handler", "handler")
    variables = tuple(ContextVar[Any](f"guardgraph_own_{name}_{depth}", default=None) for name in names)
    _register(variables)
    return variables


@cache
def _register_hooks() -> None:
    _register(_HANDLERS)


def _register(variables: Iterable[ContextVar[Any]]) -> None:
    """Have handlers added to every call: callbacks that a user gives to a call replace those that it inherits."""
    from langchain_core.tracers.context import register_configure_hook

    for variable in variables:
        register_configure_hook(variable, inheritable=True)


def _enter(execution: ExecutionContext, handlers: list[BaseCallbackHandler]) -> None:
    enter(execution)
    for variable, handler in zip(_HANDLERS, handlers, strict=True):
        variable.set(handler)


def _with_handlers(inherited: Any, handlers: list[BaseCallbackHandler]) -> Any:
    """Return the inherited callbacks with `handlers` in place of those of the level above."""
    if not isinstance(inherited, BaseCallbackManager):
        return [*(handler for handler in inherited or () if not isinstance(handler, HANDLERS)), *handlers]
    manager = inherited.copy()
    for handler in [handler for handler in manager.handlers if isinstance(handler, HANDLERS)]:
        manager.remove_handler(handler)
    for handler in handlers:
        manager.add_handler(handler, inherit=True)
    return manager
