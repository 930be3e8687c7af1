"""What the code of an agent inherits: the config with its position, and with its meter as the only one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from langchain_core.callbacks import BaseCallbackHandler, BaseCallbackManager
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import set_config_context

from guardgraph.nodes.meter import AsyncMeter, Meter
from guardgraph.nodes.services import KEY, Here, enter

__all__ = ("aunder", "inherited", "under")


def inherited(config: RunnableConfig, here: Here, *, on_a_loop: bool) -> RunnableConfig:
    """Return `config` for the work of the agent that is `here`: its own meter replaces that of the level above."""
    tab = here.tab
    meters: list[BaseCallbackHandler] = [AsyncMeter(tab), Meter(tab, run_inline=False)] if on_a_loop else [Meter(tab)]
    return {
        **config,
        "callbacks": _metered(config.get("callbacks"), meters),
        "configurable": {**(config.get("configurable") or {}), KEY: here},
    }


def under(config: RunnableConfig, work: Callable[[], Any]) -> Any:
    """Do sync work with `config` as the one that everything called inherits."""
    with set_config_context(config) as context:
        context.run(enter, _here_of(config))
        return context.run(work)


async def aunder(config: RunnableConfig, work: Callable[[], Awaitable[Any]]) -> Any:
    """Do the same for async work, which needs a task of its own to have a context of its own."""

    async def working() -> Any:
        return await work()

    with set_config_context(config) as context:
        context.run(enter, _here_of(config))
        return await asyncio.get_running_loop().create_task(working(), context=context)


def _here_of(config: RunnableConfig) -> Here:
    return config["configurable"][KEY]  # pyright: ignore[reportTypedDictNotRequiredAccess] - set just before


def _metered(inherited: Any, meters: list[BaseCallbackHandler]) -> Any:
    """Return the inherited callbacks with our meters in place of those of the level above."""
    if not isinstance(inherited, BaseCallbackManager):
        kept = [handler for handler in inherited or [] if not isinstance(handler, Meter | AsyncMeter)]
        return [*kept, *meters]
    manager = inherited.copy()
    for handler in [h for h in manager.handlers if isinstance(h, Meter | AsyncMeter)]:
        manager.remove_handler(handler)
    for meter in meters:
        manager.add_handler(meter, inherit=True)
    return manager
