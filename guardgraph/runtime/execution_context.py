"""Where code runs in the tree of teams, and the services of its run: how both are found by config or by context."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from threading import Lock
from typing import Any
from weakref import WeakValueDictionary

from langchain_core.runnables import RunnableConfig

from guardgraph.runtime.concurrency.limiter import ConcurrencyLimiter, SlotToken
from guardgraph.runtime.integrity import IntegrityRecord
from guardgraph.runtime.outbox import Outbox
from guardgraph.runtime.services import Services
from guardgraph.state import Attachment, DelegationScope
from guardgraph.storage.memory_boards import PROCESS_BOARDS

__all__ = (
    "IDLE_RUNS",
    "KEY",
    "ExecutionContext",
    "enter",
    "execution_context",
    "execution_services",
    "forget_run",
)

KEY = "__guardgraph"
"""The key under `config["configurable"]` by which position and services travel; nested graphs inherit it.

It begins with `__`: servers store every other key of `configurable` with the checkpoints, and these are live objects.
"""

IDLE_RUNS = 1_000
"""How many runs that wait, or were left, keep the services made for them; see `execution_services`."""


@dataclass(frozen=True, slots=True)
class ExecutionContext:
    """The position of running code in the tree of teams, and its services. Passed in the config; never stored."""

    services: Services
    position: DelegationScope | None = None
    """The agent that the code runs in; `None` above the first team."""
    run_id: str | None = None
    """The id for the run of the first team."""
    slots: tuple[ConcurrencyLimiter, ...] = ()
    """The slots of the teams above, innermost first."""
    slot_token: SlotToken | None = None
    """The slot that the agent holds."""
    budget: Any = None
    """What the attempt may spend on model calls."""
    attachments: Mapping[str, Attachment] = field(default_factory=dict[str, Attachment])
    """The content of the attachments of the tasks of the teams above, by digest."""
    outbox: Outbox | None = None
    """What the agent may send to others, and has sent by its tools."""
    boards: Any = None
    """The boards that the agent sees."""
    integrity: IntegrityRecord | None = None
    """The integrity label of the attempt in which the code runs."""


_CURRENT: ContextVar[ExecutionContext | None] = ContextVar("guardgraph_execution", default=None)
_DEFAULTS: WeakValueDictionary[str, Services] = WeakValueDictionary()
"""This process's own services of runs, as long as they are referenced, by an attempt or by `_IDLE`."""
_IDLE: OrderedDict[str, Services] = OrderedDict()
"""References to those of the most recently active runs."""
_DEFAULTS_LOCK = Lock()


def execution_context(config: Mapping[str, Any] | RunnableConfig | None) -> ExecutionContext | None:
    """Return the execution context of the caller: from its config, or else from its context variables.

    The latter serve code that invokes a team with a `thread_id` of its own: LangGraph then drops what it inherits.
    """
    execution = ((config or {}).get("configurable") or {}).get(KEY)
    return execution if isinstance(execution, ExecutionContext) else _CURRENT.get()


def enter(execution: ExecutionContext) -> None:
    """Set the execution context in the current context variables."""
    _CURRENT.set(execution)


def execution_services(execution: ExecutionContext | None, run_id: str) -> Services:
    """Return the services of a run: those that came with the config, else this process's own for that run.

    Its own are kept until the run has ended (`forget_run`), as long as an attempt is in flight, and after that while
    it is one of the `IDLE_RUNS` most recently active. A run that continues later gets new ones, into which `recall`
    settles what its state has spent.
    """
    if execution is not None:
        return execution.services
    with _DEFAULTS_LOCK:
        services = _DEFAULTS.get(run_id) or Services()
        _DEFAULTS[run_id] = _IDLE[run_id] = services
        _IDLE.move_to_end(run_id)
        if len(_IDLE) > IDLE_RUNS:
            _IDLE.popitem(last=False)
        return services


def forget_run(run_id: str) -> None:
    """Drop this process's own services of a run that has ended, and the boards of one that had no thread."""
    PROCESS_BOARDS.forget(run_id)
    with _DEFAULTS_LOCK:
        _DEFAULTS.pop(run_id, None)
        _IDLE.pop(run_id, None)
