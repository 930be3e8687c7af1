"""An agent puts right what a contract has refused."""

from __future__ import annotations

from collections.abc import Mapping

from guardgraph.agents.agent import Agent
from guardgraph.guards import GuardDecision
from guardgraph.nodes.gate_context import GateContext
from guardgraph.state import ContextItem, Request, Result

__all__ = ("compensating_agent", "compensation_request")


def compensating_agent(
    gate: GateContext, agents: Mapping[str, Agent], result: Result, request: Request, name: str | None
) -> Agent | None:
    """Return the agent called `name` if it may put a refused result right: once, and while there is time.

    A result that was to put another one right is not put right itself, nor is one of that agent.
    """
    until = gate.allowance.deadline
    is_over = until is not None and gate.now >= until
    if name is None or is_over or request.compensates is not None or result.agent == name:
        return None
    return agents.get(name)


def compensation_request(
    gate: GateContext, result: Result, request: Request, agent: Agent, decision: GuardDecision
) -> Request:
    """Return what makes `agent` put a refused result right, and emit an event of it."""
    guard, reason = (decision.trip.guard, decision.trip.reason) if decision.trip is not None else ("", "")
    gate.services.emit(
        "compensating",
        gate.position,
        agent=agent.name,
        instead_of=result.agent,
        guard=guard,
        reason=reason,
        subtask=result.subtask,
    )
    refused = ContextItem(
        kind="background",
        title=f"the answer of {result.agent!r}, which was refused",
        sender=result.agent,
        value=result.value,
        evidence=result.evidence,
        confidence=result.confidence,
        reasoning=result.reasoning,
        origin="agent",
        trusted=result.trusted,
    )
    return request.model_copy(
        update={
            "attempt": result.attempt + 1,
            "tries": 1,
            "feedback": reason,
            "compensates": result.agent,
            "context": (*request.context, refused),
            "delay": 0.0,
            "trusted": request.trusted and result.trusted and decision.trusted,
        }
    )
