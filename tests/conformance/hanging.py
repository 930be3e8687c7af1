"""Run a team with each kind of agent that hangs, and end: `python -m tests.conformance.hanging invoke` or `ainvoke`."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from tests.conformance.agents import AGENTS
from tests.conformance.patterns import PATTERNS

__all__ = ("main",)


def main(way: str) -> None:
    """Print how each team has ended; what hangs is never released."""
    for name, make in AGENTS.items():
        graph: Any = PATTERNS["supervisor"](make("hangs")).compile()
        given = {"task": "Do it."}
        output = graph.invoke(given) if way == "invoke" else asyncio.run(graph.ainvoke(given))
        print(f"{name}: {output['outcome'].status}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
