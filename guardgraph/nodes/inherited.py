"""What the code of an agent inherits: the config with its position, and with its meter as the only one."""

from __future__ import annotations

from contextvars import Context
from typing import Any

from langchain_core.callbacks import BaseCallbackHandler, BaseCallbackManager
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import set_config_context

from guardgraph.nodes.meter import AsyncMeter, Meter
from guardgraph.nodes.services import KEY, Here, enter

__all__ = ("context_of", "inherited")


def inherited(config: RunnableConfig, here: Here, *, on_a_loop: bool) -> RunnableConfig:
    """Return `config` for the work of the agent that is `here`: its own meter replaces that of the level above."""
    tab = here.tab
    meters: list[BaseCallbackHandler] = [AsyncMeter(tab), Meter(tab, run_inline=False)] if on_a_loop else [Meter(tab)]
    return {
        **config,
        "callbacks": _metered(config.get("callbacks"), meters),
        "configurable": {**(config.get("configurable") or {}), KEY: here},
    }


def context_of(config: RunnableConfig) -> Context:
    """Return a context for the agent's code, in which everything called inherits `config`."""
    with set_config_context(config) as context:
        context.run(enter, _here_of(config))
        return context.copy()  # the first one is reset at the end of the block


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
