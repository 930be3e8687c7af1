"""Guarded multi-agent orchestration patterns as explicit LangGraph state graphs over typed shared state.

Import from the folder that holds the concept: `guardgraph.graphs` (the patterns), `guardgraph.guards` (may this go
on?), `guardgraph.nodes` (what happens at one place), `guardgraph.state` (what a run knows, and where it is kept),
`guardgraph.runs` (running them), `guardgraph.evals` (scoring them). Importing `guardgraph` itself loads nothing.
"""

from __future__ import annotations

__all__ = ()

__version__ = "0.1.0"
