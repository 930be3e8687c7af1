"""The command `guardgraph`."""

from __future__ import annotations

from guardgraph.cli.entry import main

__all__ = ("main",)
