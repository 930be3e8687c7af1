"""What the code of an agent inherits by config and by context: its position, and the handlers of its own budget."""

from __future__ import annotations

from collections.abc import Generator
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

_OWN_HANDLERS: tuple[ContextVar[BaseCallbackHandler | None], ...] = (
    ContextVar("guardgraph_own_async_handler", default=None),
    ContextVar("guardgraph_own_handler", default=None),
)
"""Those of an agent that has guards of its own, beside the handlers of the attempt around it."""


@contextmanager
def metered(budget: AttemptBudget) -> Generator[None]:
    """Count and judge by `budget` all calls within, beside what an attempt around them does."""
    _register_hooks()
    tokens = [variable.set(handler(budget)) for variable, handler in zip(_OWN_HANDLERS, HANDLERS, strict=True)]
    try:
        yield
    finally:
        for variable, token in zip(_OWN_HANDLERS, tokens, strict=True):
            variable.reset(token)


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
def _register_hooks() -> None:
    """Have the handlers added to every call: callbacks that a user gives to a call replace those that it inherits."""
    from langchain_core.tracers.context import register_configure_hook

    for variable in (*_HANDLERS, *_OWN_HANDLERS):
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
