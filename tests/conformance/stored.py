"""Check a graph with a chat model and an agent that asks, on all storages, as a program of its own."""

from __future__ import annotations

import logging

from guardgraph.testing import WAYS, check_graph
from tests.conformance.agents import AGENTS, answer
from tests.conformance.patterns import PATTERNS

__all__ = ("main",)

_SOME = ("invoke", "ainvoke", "stream v2", "asubgraph", "Runner.run", "Runner.astream")


def main() -> None:
    """Print what came of it; what is logged as a warning goes to stderr."""
    logging.basicConfig(level=logging.WARNING)
    ways = [way for way in WAYS if way.name in _SOME]
    print(check_graph(lambda: PATTERNS["nested supervisor"](AGENTS["chat model"]("answers")), ways=ways))
    asking = check_graph(
        lambda: PATTERNS["supervisor"](AGENTS["create_agent with response_format"]("asks")), answer=answer, ways=ways
    )
    print(asking)


if __name__ == "__main__":
    main()
