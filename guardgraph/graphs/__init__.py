"""The patterns, and the builder for patterns of your own."""

from __future__ import annotations

from guardgraph.graphs.pipeline import pipeline
from guardgraph.graphs.router import RouterState, router
from guardgraph.graphs.stage import Stage
from guardgraph.graphs.supervisor import supervisor
from guardgraph.graphs.team import Team
from guardgraph.nodes.decisions.rule import Rule
from guardgraph.nodes.gate_context import GateContext

__all__ = (
    "GateContext",
    "RouterState",
    "Rule",
    "Stage",
    "Team",
    "pipeline",
    "router",
    "supervisor",
)
