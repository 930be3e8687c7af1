"""Pictures of any LangGraph graph, and what they show; `draw` itself is imported from `guardgraph.graphs`."""

from __future__ import annotations

from guardgraph.graphs.draw.description import (
    ClusterDescription,
    EdgeDescription,
    GraphDescription,
    NodeDescription,
)
from guardgraph.graphs.draw.notebook import load_ipython_extension, unload_ipython_extension
from guardgraph.graphs.draw.reading import describe

__all__ = (
    "ClusterDescription",
    "EdgeDescription",
    "GraphDescription",
    "NodeDescription",
    "describe",
    "load_ipython_extension",
    "unload_ipython_extension",
)
