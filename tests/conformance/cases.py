"""The combinations that are run, and those that cannot be."""

from __future__ import annotations

import os
from itertools import product
from pathlib import Path
from random import Random
from typing import NamedTuple

from guardgraph.testing import WAYS, impossible, storages
from tests.conformance.agents import AGENTS, BEHAVIOURS, Behaviour
from tests.conformance.covering import pairs
from tests.conformance.patterns import PATTERNS

__all__ = ("ALL", "IMPOSSIBLE", "SAMPLE", "Case", "cases", "reason_against")

_ASKED = os.environ.get("GUARDGRAPH_CONFORMANCE", "pairs")
ALL = _ASKED == "all"
"""Whether the whole product is run."""
SAMPLE = int(_ASKED) if _ASKED.isdecimal() else 0
"""So many combinations of the product are run, by chance; GUARDGRAPH_SEED gives others."""

_WAYS = {way.name: way for way in WAYS}
_STORAGES = {storage.name: storage for storage in storages(Path(), postgres="postgresql://")}
_SERIALIZERS = ("by default", "strict")

IMPOSSIBLE: dict[tuple[str, Behaviour], str] = {
    ("chat model", "asks"): "a chat model takes no interrupt: it is asked, and answers",
    ("create_agent with response_format", "nothing"): "it goes on until the model has given the form",
}
"""Agents that cannot behave so."""


class Case(NamedTuple):
    """One combination, by name."""

    way: str
    storage: str
    serializer: str
    """`strict` is LANGGRAPH_STRICT_MSGPACK=true."""
    agent: str
    behaviour: Behaviour
    pattern: str

    def __str__(self) -> str:
        return ", ".join(self)


def reason_against(case: Case) -> str | None:
    """Return why a combination cannot be, or `None`."""
    storage = _STORAGES[case.storage]
    if case.serializer == "strict" and not storage.keeps_threads:
        return "nothing is stored"
    return IMPOSSIBLE.get((case.agent, case.behaviour)) or impossible(
        _WAYS[case.way], storage, interrupts=case.behaviour == "asks"
    )


def cases() -> list[Case]:
    """Return all pairs, or with GUARDGRAPH_CONFORMANCE=all every combination that can be, with a number so many."""
    dimensions = (tuple(_WAYS), tuple(_STORAGES), _SERIALIZERS, tuple(AGENTS), BEHAVIOURS, tuple(PATTERNS))
    if ALL or SAMPLE:
        found = [case for values in product(*dimensions) if reason_against(case := Case(*values)) is None]
        return Random(os.environ.get("GUARDGRAPH_SEED", "0")).sample(found, SAMPLE) if SAMPLE else found
    return [Case(*values) for values in pairs(dimensions, lambda values: reason_against(Case(*values)) is None)]
