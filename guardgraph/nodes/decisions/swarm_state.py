"""What a swarm declares and shares: its rules, its state, whose answer counts, and what its peers have answered."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import JsonValue

from guardgraph.agents.agent import Agent
from guardgraph.nodes.decisions.negotiation import AcceptanceRule
from guardgraph.nodes.gate_context import GateContext
from guardgraph.state import EarlyStop, FrozenModel, Message, Result, RunState, append_by_id, append_unique

__all__ = (
    "Control",
    "SwarmRules",
    "SwarmState",
    "control_of",
    "is_answer",
    "latest_results",
    "peer_results",
    "silent_peers",
    "write_control",
)


class Control(FrozenModel):
    """Whose answer is the value of a swarm, and who works next where an order was imposed."""

    peer: str
    """The peer whose answer is the value: the last one that was handed over to, or the last one of the order."""
    since: int = 0
    """The round in which it was given control: its answers of later rounds count."""
    tie: EarlyStop | None = None
    """How the run ends unless the tie is broken, once there is one; then only the `order` is worked off."""
    order: tuple[str, ...] = ()
    """The peers that are still to work, one after the other."""

    def may_work(self, peer: str) -> bool:
        """Return whether a message can still be delivered to a peer."""
        return self.tie is None or peer in self.order


class SwarmState(RunState, total=False):
    """The shared state of a swarm. What a peer keeps for itself is in `memories`, and is given to no other peer."""

    log: Annotated[list[Message], append_by_id]
    """All messages that were sent, in the order of the rounds; in each round questions come behind what answers."""
    pending: dict[str, list[str]]
    """The ids of the messages that each peer is given when it works next."""
    exchanged: Annotated[list[str], append_unique]
    """The ids of the results whose messages are in the log."""
    memories: dict[str, JsonValue]
    """What each peer has kept."""
    control: dict[str, Any]
    """A `Control` as JSON data."""
    agreement: dict[str, Any] | None
    """The proposal that was accepted, as JSON data: `by` (`acceptance` or `tie_breaker`), `proposal`, its `content`,
    its `proposer`, who `accepted` and who `rejected` it."""


@dataclass(frozen=True, slots=True)
class SwarmRules:
    """The declaration of a swarm, checked."""

    peers: tuple[Agent, ...]
    start: tuple[Agent, ...]
    acceptance: AcceptanceRule | None
    tie_breaker: Agent | None
    order: tuple[str, ...]
    proposals: int
    per_pair: int | None
    per_peer: int | None
    window: int
    distinct: int
    repeats: int
    names: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", frozenset(agent.name for agent in self.peers))


def control_of(gate: GateContext) -> Control:
    """Return whose answer counts now."""
    return Control.model_validate(gate.state["control"])


def write_control(gate: GateContext, control: Control, **changes: Any) -> None:
    """Write whose answer counts from now on: `control` with `changes`."""
    gate.write(control=control.model_copy(update=changes).model_dump(mode="json"))


def peer_results(gate: GateContext, rules: SwarmRules) -> list[Result]:
    """Return the accepted results of peers, in the order in which they were made."""
    return [result for result in gate.accepted if result.role in rules.names]


def latest_results(gate: GateContext, rules: SwarmRules) -> dict[str, Result]:
    """Return the latest attempt of each peer, accepted or not."""
    return {one.role: one for one in gate.state.get("results") or () if one.role in rules.names}


def silent_peers(gate: GateContext, rules: SwarmRules) -> set[str]:
    """Return the peers whose latest attempt was refused, with nothing left to try: they are routed around."""
    accepted = {result.id for result in gate.accepted}
    return {name for name, result in latest_results(gate, rules).items() if result.id not in accepted}


def is_answer(result: Result) -> bool:
    """Return whether a result has a value of its own; one that hands over leaves it to another peer."""
    return result.value is not None and all(message.performative != "hand_off" for message in result.messages)
