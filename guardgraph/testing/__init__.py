"""Checks that a graph gives the same outcome in every way of running."""

from __future__ import annotations

from guardgraph.testing.check import GraphCheck, check_graph, compared
from guardgraph.testing.running import Facts, Ran, facts_of, impossible, run_way
from guardgraph.testing.storages import Storage, storages
from guardgraph.testing.trial import Trial
from guardgraph.testing.ways import WAYS, Way

__all__ = (
    "WAYS",
    "Facts",
    "GraphCheck",
    "Ran",
    "Storage",
    "Trial",
    "Way",
    "check_graph",
    "compared",
    "facts_of",
    "impossible",
    "run_way",
    "storages",
)
