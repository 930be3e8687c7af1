"""Running graphs: threads, progress, the command line."""

from __future__ import annotations

from guardgraph.runs.run import PendingInterrupt, Run, RunStatus, RunSummary
from guardgraph.runs.runner import Runner
from guardgraph.runs.versions import GraphVersion, Migration

__all__ = (
    "GraphVersion",
    "Migration",
    "PendingInterrupt",
    "Run",
    "RunStatus",
    "RunSummary",
    "Runner",
)
