"""The circuits of agents in a store that all processes share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pydantic import JsonValue

from guardgraph.guards import Breaker, Circuit
from guardgraph.runtime.breakers.circuit_log import CircuitLog
from guardgraph.state import Request
from guardgraph.storage.memory_values import PROCESS_VALUES
from guardgraph.storage.shared_values import SharedValues, decoded

__all__ = ("Circuits", "attempt_key")

_KIND = "breaker"


@dataclass(frozen=True, slots=True)
class Circuits:
    """Reads and changes circuits; every method blocks where the store does."""

    values: SharedValues = PROCESS_VALUES

    def before_sending(self, agent: str, key: str) -> Circuit:
        """Return the circuit of an agent for an attempt that is about to be sent: it becomes the probe if one is due.

        A closed circuit is only read.
        """
        known = decoded(CircuitLog.of, agent, self.values.read(_KIND, [agent]).get(agent))
        if known.opened is None:
            return known.circuit(agent, known.ended[-1].at if known.ended else 0.0)
        return self._changed(agent, key, lambda log, now: log.sent(key, now))

    def released(self, agent: str, key: str) -> Circuit:
        """Let another attempt be the probe, where that with this key was it and has shown nothing."""
        return self._changed(agent, key, lambda log, _now: log.released(key))

    def ended(self, agent: str, key: str, rule: Breaker, *, is_ok: bool, attempt: str = "") -> Circuit:
        """Record that an attempt has ended, and return the circuit: once for each `attempt`, or else for each key."""
        return self._changed(agent, key, lambda log, now: log.plus(key, rule, now, is_ok=is_ok, attempt=attempt))

    def listed(self, limit: int = 1_000) -> list[Circuit]:
        """Return the circuits that are known, those that have changed last first."""
        now = self.values.now()
        known = self.values.read(_KIND, limit=limit)
        return [decoded(CircuitLog.of, agent, stored).circuit(agent, now) for agent, stored in known.items()]

    def reset(self, agent: str) -> bool:
        """Forget an agent's attempts, so that its circuit is closed; return whether any were known."""
        return self.values.forget(_KIND, agent)

    def _changed(self, agent: str, key: str, change: Callable[[CircuitLog, float], CircuitLog]) -> Circuit:
        found = list[Circuit]()

        def changed(there: Mapping[str, JsonValue], now: float) -> dict[str, JsonValue]:
            before = decoded(CircuitLog.of, agent, there.get(agent))
            after = change(before, now)
            found.append(after.circuit(agent, now, key))
            return {} if after == before else {agent: after.stored()}

        self.values.update(_KIND, [agent], changed)
        return found[0]


def attempt_key(account: str, agent: str, request: Request) -> str:
    """Return what names an attempt when it is sent, and again when it has ended; several of one round may share it.

    `account` is that from which the agents of its team draw: another one each time that the team is called in a run.
    """
    subtask = request.subtask.id if request.subtask is not None else ""
    return f"{account}/{agent}/{subtask}/{request.round}/{request.attempt}"
