"""The patterns, and the builder for patterns of your own."""

from __future__ import annotations

from guardgraph.graphs.draw.picture import Picture, draw
from guardgraph.graphs.pipeline import pipeline
from guardgraph.graphs.stage import Stage
from guardgraph.graphs.supervisor import supervisor
from guardgraph.graphs.team import Team
from guardgraph.nodes.gate_context import GateContext

__all__ = (
    "GateContext",
    "Picture",
    "Stage",
    "Team",
    "draw",
    "pipeline",
    "supervisor",
)
