"""The patterns, and the builder for patterns of your own."""

from __future__ import annotations

from guardgraph.graphs.hierarchy import Tier, hierarchy
from guardgraph.graphs.pipeline import pipeline
from guardgraph.graphs.stage import Parallel, SendBack, Stage
from guardgraph.graphs.supervisor import WideTeamWarning, supervisor
from guardgraph.graphs.team import Team
from guardgraph.nodes.gate_context import GateContext

__all__ = (
    "GateContext",
    "Parallel",
    "SendBack",
    "Stage",
    "Team",
    "Tier",
    "WideTeamWarning",
    "hierarchy",
    "pipeline",
    "supervisor",
)
