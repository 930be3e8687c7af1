"""CPU of making values bytes and back, with `Codec` and with LangGraph's `JsonPlusSerializer`: `python -m bench.codec`.

Both get the same values: plain trees, lists of messages, and the state of a run with its results.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import partial
from random import Random
from typing import Any

import click
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from bench.measuring.contest import Comparison, Contestant, compete
from bench.measuring.options import common_options
from bench.measuring.report import Report, show
from guardgraph.state import Evidence, Plan, Result, Subtask, Task, Usage
from guardgraph.storage.sql.codec.codec import Codec

_OURS, _PEER = "Codec", "JsonPlusSerializer"
_LEAST = 0.02
"""For how many seconds one measurement repeats its work at least."""
_PLAIN_GOAL, _OBJECTS_GOAL = 1.0, 1.5


@click.command(help=__doc__)
@common_options(rounds=9)
def main(rounds: int, as_json: bool) -> None:  # noqa: FBT001 - click passes it by name
    logging.getLogger("langgraph").setLevel(logging.ERROR)  # the peer warns of classes that nobody registered
    reports = [_report(title, value, goal, rounds) for title, (value, goal) in _values(Random(1)).items()]
    show(reports, versions=("guardgraph", "langgraph-checkpoint", "ormsgpack", "pydantic"), as_json=as_json)


def _values(random: Random) -> Mapping[str, tuple[Any, float]]:
    """Return values by what they are, with the goal for each."""
    return {
        "A plain tree of 10 records": (_records(10, random), _PLAIN_GOAL),
        "A plain tree of 1,000 records": (_records(1000, random), _PLAIN_GOAL),
        "A list of 10,000 numbers": ([random.random() for _ in range(10_000)], _PLAIN_GOAL),
        "A list of 100 texts of 1 KB": ([_text(random) for _ in range(100)], _PLAIN_GOAL),
        "100 human messages of 1 KB": ([HumanMessage(_text(random), id=f"{n}") for n in range(100)], _OBJECTS_GOAL),
        "100 messages of a model, with tool calls": ([_answer(n, random) for n in range(100)], _OBJECTS_GOAL),
        "The state of a run with 20 results": (_state(20, random), _OBJECTS_GOAL),
    }


def _text(random: Random) -> str:
    return random.randbytes(512).hex()


def _records(count: int, random: Random) -> list[dict[str, Any]]:
    return [
        {
            "id": number,
            "name": f"item {number}",
            "tags": ["a", "b", f"{number}"],
            "score": random.random(),
            "open": True,
            "parent": None,
            "text": random.randbytes(40).hex(),
            "nested": {"x": number * 1000, "y": [1, 2, 3]},
        }
        for number in range(count)
    ]


def _answer(number: int, random: Random) -> AIMessage:
    return AIMessage(
        _text(random),
        id=f"{number}",
        tool_calls=[{"name": "search", "args": {"query": "why", "limit": 3}, "id": "c1"}],
        usage_metadata={"input_tokens": 10, "output_tokens": 20, "total_tokens": 30},
        response_metadata={"model_name": "model", "finish_reason": "stop"},
    )


def _state(results: int, random: Random) -> dict[str, Any]:
    evidence = tuple(Evidence(source="a.md", quote=random.randbytes(40).hex(), locator=f"L{n}") for n in range(3))
    usage = Usage(input_tokens=100, output_tokens=50, usd=Decimal("0.015"))
    return {
        "task": Task(goal="why", id="t"),
        "plan": Plan(subtasks=tuple(Subtask(id=f"s{n}", goal="find it") for n in range(results))),
        "results": [
            Result(id=f"r{n}", agent="worker", value=_text(random), evidence=evidence, usage=usage)
            for n in range(results)
        ],
        "usage": usage,
        "rounds": 2,
    }


def _report(title: str, value: Any, goal: float, rounds: int) -> Report:
    peer: Any = JsonPlusSerializer()
    contestants = [_contestant(name, serializer, value) for name, serializer in ((_OURS, Codec()), (_PEER, peer))]
    comparisons = [
        Comparison(_OURS, _PEER, quantity, at_most=goal) for quantity in ("dumps CPU us", "loads CPU us", "both CPU us")
    ]
    return Report(title, compete(contestants, rounds=rounds), [*comparisons, Comparison(_OURS, _PEER, "bytes")])


def _contestant(name: str, serializer: Any, value: Any) -> Contestant:
    stored = serializer.dumps_typed(value)
    if serializer.loads_typed(stored) != value:
        raise RuntimeError(f"{name} does not return what it was given")

    def measure() -> Mapping[str, float]:
        dumps = _time(partial(serializer.dumps_typed, value))
        loads = _time(partial(serializer.loads_typed, stored))
        return {"dumps CPU us": dumps, "loads CPU us": loads, "both CPU us": dumps + loads, "bytes": len(stored[1])}

    return Contestant(name, measure)


def _time(work: Callable[[], Any]) -> float:
    """Return the CPU of one call, in microseconds."""
    calls, begun = 0, time.process_time()
    while (spent := time.process_time() - begun) < _LEAST:
        for _ in range(10):
            work()
        calls += 10
    return spent / calls * 1e6


if __name__ == "__main__":
    main()
