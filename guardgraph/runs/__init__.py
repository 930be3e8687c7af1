"""Running graphs: threads, progress, the command line."""

from __future__ import annotations

from guardgraph.runs.run import Listed, Run, RunStatus, Waiting
from guardgraph.runs.runner import Runner

__all__ = (
    "Listed",
    "Run",
    "RunStatus",
    "Runner",
    "Waiting",
)
