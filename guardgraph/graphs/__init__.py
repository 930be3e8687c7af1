"""The patterns, and the builder for patterns of your own."""

from __future__ import annotations

from guardgraph.graphs.draw.picture import Picture, draw
from guardgraph.graphs.estimate import Estimate, estimate
from guardgraph.graphs.hierarchy import Tier, hierarchy
from guardgraph.graphs.lint import Finding, lint
from guardgraph.graphs.load import Assumptions, Load
from guardgraph.graphs.pipeline import pipeline
from guardgraph.graphs.stage import Parallel, SendBack, Stage
from guardgraph.graphs.supervisor import WideTeamWarning, supervisor
from guardgraph.graphs.team import Team
from guardgraph.nodes.gate_context import GateContext

__all__ = (
    "Assumptions",
    "Estimate",
    "Finding",
    "GateContext",
    "Load",
    "Parallel",
    "Picture",
    "SendBack",
    "Stage",
    "Team",
    "Tier",
    "WideTeamWarning",
    "draw",
    "estimate",
    "hierarchy",
    "lint",
    "pipeline",
    "supervisor",
)
