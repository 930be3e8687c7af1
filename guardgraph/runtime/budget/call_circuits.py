"""The circuits of tools and models, for the calls of one attempt: what is known of them, and what a call shows."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from threading import Lock

from langgraph.errors import GraphBubbleUp
from pydantic import ValidationError

from guardgraph.guards import Breaker, Circuit, Guard, ModelCall, ToolCall, breaker_of
from guardgraph.runtime.rates.overload import is_unavailable
from guardgraph.runtime.services import Services
from guardgraph.state import StorageError

__all__ = ("CallCircuits", "model_shows", "tool_shows")

_LOG = logging.getLogger(__name__)


@dataclass(slots=True)
class CallCircuits:
    """The circuits of the tools and models that one attempt calls, where a `Breaker` of its guards judges by them."""

    services: Services
    guards: Sequence[Guard]
    _open: dict[str, tuple[Circuit, Breaker]] = field(default_factory=dict[str, tuple[Circuit, Breaker]])
    """The circuits of calls that have not ended, by the ids of the calls."""
    _lock: Lock = field(default_factory=Lock)

    @property
    def blocks(self) -> bool:
        """Whether what is known is read from a database."""
        of_calls = breaker_of(self.guards, "tool") or breaker_of(self.guards, "model")
        return of_calls is not None and self.services.circuits.values.blocks

    def before(self, call: ModelCall | ToolCall) -> Circuit | None:
        """Return the circuit of a call that is about to begin; `None` where none judges it, or it has no name."""
        rule = breaker_of(self.guards, "tool" if isinstance(call, ToolCall) else "model")
        name = _circuit_of(call)
        if rule is None or name is None:
            return None
        circuit = self.services.circuits.before_sending(name, call.id)
        with self._lock:
            self._open[call.id] = (circuit, rule)
        return circuit

    def ended(self, id: str, *, is_ok: bool | None) -> None:
        """Record what a call has shown; `None` where that is nothing, as of one that was not made."""
        with self._lock:
            known = self._open.pop(id, None)
        if known is None:
            return
        circuit, rule = known
        try:
            if is_ok is not None:
                self.services.circuits.ended(circuit.agent, id, rule, is_ok=is_ok)
            elif circuit.is_probe:
                self.services.circuits.released(circuit.agent, id)
        except StorageError:  # the call is made all the same
            _LOG.warning("what a call has shown of %s is not recorded", circuit.agent, exc_info=True)


def tool_shows(error: BaseException) -> bool | None:
    """Return `False` for the failure of a tool, `None` for an interrupt, a stop, and arguments that do not fit."""
    is_none = isinstance(error, GraphBubbleUp | ValidationError) or not isinstance(error, Exception)
    return None if is_none else False


def model_shows(error: BaseException) -> bool | None:
    """Return `False` for the failure of a model or its provider, `None` for an error of the request."""
    return False if is_unavailable(error) else None


def _circuit_of(call: ModelCall | ToolCall) -> str | None:
    if isinstance(call, ToolCall):
        return f"tool:{call.name}"
    return None if call.model is None else f"model:{call.provider or 'unknown'}:{call.model}"
