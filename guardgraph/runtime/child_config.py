"""What the code of an agent inherits: its position, and its meter as the only one, by config and by context."""

from __future__ import annotations

from contextvars import Context, ContextVar
from functools import cache
from typing import Any

from langchain_core.callbacks import BaseCallbackHandler, BaseCallbackManager
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import set_config_context

from guardgraph.runtime.budget.callback_handler import AsyncBudgetCallbackHandler, BudgetCallbackHandler
from guardgraph.runtime.execution_context import KEY, ExecutionContext, enter

__all__ = ("child_config",)

_FIRST: ContextVar[BaseCallbackHandler | None] = ContextVar("guardgraph_meter", default=None)
_SECOND: ContextVar[BaseCallbackHandler | None] = ContextVar("guardgraph_second_meter", default=None)


def child_config(config: RunnableConfig, here: ExecutionContext) -> tuple[RunnableConfig, Context]:
    """Return `config`, and a context in which all that is called inherits it, for the work of the agent that is `here`.

    Its own meter replaces that of the level above.
    """
    _hook_in()
    budget = here.budget
    meters: list[BaseCallbackHandler] = [
        AsyncBudgetCallbackHandler(budget),
        BudgetCallbackHandler(budget, is_paired=True),
    ]
    mine: RunnableConfig = {
        **config,
        "callbacks": _metered(config.get("callbacks"), meters),
        "configurable": {**(config.get("configurable") or {}), KEY: here},
    }
    with set_config_context(mine) as context:
        context.run(_enter, here, meters)
        return mine, context.copy()  # the first one is reset at the end of the block


@cache
def _hook_in() -> None:
    """Have the meters added to every call: callbacks that a user gives to a call replace those that it inherits."""
    from langchain_core.tracers.context import register_configure_hook

    register_configure_hook(_FIRST, inheritable=True)
    register_configure_hook(_SECOND, inheritable=True)


def _enter(here: ExecutionContext, meters: list[BaseCallbackHandler]) -> None:
    enter(here)
    _FIRST.set(meters[0])
    _SECOND.set(meters[1])


def _metered(inherited: Any, meters: list[BaseCallbackHandler]) -> Any:
    """Return the inherited callbacks with our meters in place of those of the level above."""
    if not isinstance(inherited, BaseCallbackManager):
        kept = [
            handler
            for handler in inherited or []
            if not isinstance(handler, BudgetCallbackHandler | AsyncBudgetCallbackHandler)
        ]
        return [*kept, *meters]
    manager = inherited.copy()
    for handler in [h for h in manager.handlers if isinstance(h, BudgetCallbackHandler | AsyncBudgetCallbackHandler)]:
        manager.remove_handler(handler)
    for meter in meters:
        manager.add_handler(meter, inherit=True)
    return manager
