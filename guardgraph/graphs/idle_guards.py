"""Guards that no gate of a team asks: checked where the team is declared."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence, Set

from guardgraph.agents.agent import Agent
from guardgraph.guards import AccountLimiter, AllowanceLimiter, Convergence, Guard, Only, conditions, leaves, name_of
from guardgraph.state import BadGraph, Gate

__all__ = ("check_idle_guards", "check_own_guards", "counts_rounds")

_ORDER = ("admission", "dispatch", "round", "handoff", "exit", "model", "tool")


def counts_rounds(guard: Guard) -> bool:
    """Return whether a guard caps rounds, which it also does without a gate `round`, and where there is but one."""
    return any(isinstance(leaf, Convergence) for leaf in leaves([guard]))


def check_idle_guards(name: str, guards: Sequence[Guard], *, gates: Set[Gate], places: Mapping[str, set[Gate]]) -> None:
    """Raise `BadGraph` for a guard of a team that judges at none of its gates, nor limits anything at admission.

    `places` has the gates at which the work of each agent is judged, for guards that are for some agents `only`. The
    parts of `a & b` are guards of their own; `a | b` judges at the gates that both have. `Convergence` is a cap, which
    a team without rounds keeps.
    """
    for guard in guards:
        if not gates.isdisjoint(guard.gates) or _limits(guard) or counts_rounds(guard):
            continue
        raise BadGraph(
            f"{name}: guard {name_of(guard)!r} judges at {_listed(guard.gates)}, and this team has only the gates "
            f"{_listed(gates)}: it would never judge; remove it, or change its gates"
        )
    for guard in (one for one in conditions(guards) if one.agents is not None):
        here = _judged(guard, places)
        if not here.isdisjoint(guard.gates):
            continue
        raise BadGraph(
            f"{name}: guard {name_of(guard)!r} for {', '.join(map(repr, sorted(guard.agents or ())))} only judges at "
            f"{_listed(guard.gates)}; here their work is judged at {_listed(here)}"
        )


def check_own_guards(agents: Iterable[Agent], places: Mapping[str, set[Gate]]) -> None:
    """Raise `BadGraph` for a guard of an agent's own that judges nowhere in the team."""
    for agent in agents:
        for guard in agent.guards:
            if places[agent.name].isdisjoint(guard.gates):
                raise BadGraph(
                    f"guard {name_of(guard)!r} of agent {agent.name!r} judges at {_listed(guard.gates)}; here this "
                    f"agent is judged at {_listed(places[agent.name])}"
                )


def _judged(guard: Only, places: Mapping[str, set[Gate]]) -> set[Gate]:
    return set[Gate]().union(*(places.get(name, ()) for name in guard.agents or ()))


def _limits(guard: Guard) -> bool:
    """Return whether a guard, or the parts that it is made of, limit what a team may use: that holds at every gate."""
    return any(isinstance(leaf, AllowanceLimiter | AccountLimiter) for leaf in leaves([guard]))


def _listed(gates: Collection[Gate]) -> str:
    return ", ".join(sorted(map(repr, gates), key=[*map(repr, _ORDER)].index))
