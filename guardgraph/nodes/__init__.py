"""The nodes of a graph: agents and gates."""

from __future__ import annotations

from guardgraph.nodes.agent_node import agent_node
from guardgraph.nodes.context import worker_roster
from guardgraph.nodes.decisions.dispatch import nothing_to_send, pending_subtasks, read_plan_and_dispatch
from guardgraph.nodes.decisions.review import review_results
from guardgraph.nodes.gate_context import Destination, Route

__all__ = (
    "Destination",
    "Route",
    "agent_node",
    "nothing_to_send",
    "pending_subtasks",
    "read_plan_and_dispatch",
    "review_results",
    "worker_roster",
)
