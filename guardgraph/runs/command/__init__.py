"""The command `guardgraph`."""

from __future__ import annotations

from guardgraph.runs.command.entry import main

__all__ = ("main",)
