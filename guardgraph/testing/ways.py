"""The ways in which a graph can be run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, get_args

from langgraph.types import StreamMode

from guardgraph.testing.around import as_tool, from_node, inside
from guardgraph.testing.runners import arun_runner, astream_runner, run_runner, stream_runner
from guardgraph.testing.trial import Trial

__all__ = ("WAYS", "Kind", "Way")

Kind = Literal["graph", "tool", "runner"]
_Turn = Callable[[Any, Any, Any], Any]
_ATurn = Callable[[Any, Any, Any], Awaitable[Any]]
_MODES: tuple[StreamMode, ...] = get_args(StreamMode)


@dataclass(frozen=True, slots=True)
class Way:
    """One way to run a graph from its task to its outcome."""

    name: str
    run: Callable[[Trial], Any]
    """Returns the outcome, or a list of outcomes (as told, as stored) that have to be the same; awaitable where
    `is_async`."""
    is_async: bool = False
    kind: Kind = "graph"
    """Who runs it: the graph itself (also within another one), a tool, which takes no answers, or the `Runner`."""


def _talk(turn: _Turn, trial: Trial, around: Callable[[Trial], Any] = Trial.compiled) -> list[Any]:
    """Run `turn` until nothing is asked any more; return its outcome, told and stored."""
    compiled, given, number = around(trial), trial.given, 0
    while True:
        outcome = turn(compiled, given, trial.config)
        if trial.saver is None:
            return [outcome]
        stored = compiled.get_state(trial.config)
        if not stored.interrupts:
            return _ended(outcome, stored)
        number += 1
        given: Any = trial.resume(stored.interrupts, number)


async def _atalk(turn: _ATurn, trial: Trial, around: Callable[[Trial], Any] = Trial.compiled) -> list[Any]:
    compiled, given, number = around(trial), trial.given, 0
    while True:
        outcome = await turn(compiled, given, trial.config)
        if trial.saver is None:
            return [outcome]
        stored = await compiled.aget_state(trial.config)
        if not stored.interrupts:
            return _ended(outcome, stored)
        number += 1
        given: Any = trial.resume(stored.interrupts, number)


def _ended(outcome: Any, stored: Any) -> list[Any]:
    """Return the outcome, and what is stored of it. Raises where the thread has not ended."""
    if stored.next:
        raise AssertionError(f"nothing is asked, but the thread has not ended: next is {stored.next!r}")
    return [outcome, stored.values.get("outcome")]


def _invoke(graph: Any, given: Any, config: Any) -> Any:
    return graph.invoke(given, config).get("outcome")


async def _ainvoke(graph: Any, given: Any, config: Any) -> Any:
    return (await graph.ainvoke(given, config)).get("outcome")


def _invoke_v2(graph: Any, given: Any, config: Any) -> Any:
    return graph.invoke(given, config, version="v2").value.get("outcome")


async def _ainvoke_v2(graph: Any, given: Any, config: Any) -> Any:
    return (await graph.ainvoke(given, config, version="v2")).value.get("outcome")


def _plain(parts: Sequence[Any]) -> Any:
    """Return the outcome from the parts of `stream_mode="values"`."""
    return parts[-1].get("outcome")


def _updates(parts: Sequence[Any]) -> Any:
    return next(
        (part["guard_exit"]["outcome"] for part in reversed(parts) if "outcome" in (part.get("guard_exit") or ())), None
    )


def _several(parts: Sequence[Any]) -> Any:
    """Return the outcome from the values among the parts of several modes, with or without subgraphs."""
    own = [part for part in parts if len(part) == 2 or part[0] == ()]
    return next((part[-1].get("outcome") for part in reversed(own) if part[-2] == "values"), None)


def _v2(parts: Sequence[Any]) -> Any:
    own = [part for part in parts if part["type"] == "values" and not part["ns"]]
    return own[-1]["data"].get("outcome")


def _streamed(read: Callable[[Sequence[Any]], Any], **how: Any) -> _Turn:
    return lambda graph, given, config: read(list(graph.stream(given, config, **how)))


def _astreamed(read: Callable[[Sequence[Any]], Any], **how: Any) -> _ATurn:
    async def turn(graph: Any, given: Any, config: Any) -> Any:
        return read([part async for part in graph.astream(given, config, **how)])

    return turn


async def _events(graph: Any, given: Any, config: Any, *, version: str) -> Any:
    events = [event async for event in graph.astream_events(given, config, version=version)]
    first = events[0]["run_id"]
    ends = [event for event in events if event["event"] == "on_chain_end" and event["run_id"] == first]
    return _last(ends[-1]["data"]["output"])


async def _log(graph: Any, given: Any, config: Any) -> Any:
    log: Any = None
    async for patch in graph.astream_log(given, config):
        log = patch if log is None else log + patch
    return _last(log.state["final_output"] or {})


def _last(output: Any) -> Any:
    """Return the outcome from what such a stream ends with: the values, or the update of the last node."""
    return output.get("outcome") or output.get("guard_exit", {}).get("outcome")


def _batch(trial: Trial) -> list[Any]:
    """Run two at once; both outcomes have to be the same."""
    trials = [trial, trial.again()]
    compiled = trial.compiled()
    made = compiled.batch([one.given for one in trials], [one.config for one in trials])
    if trial.saver is None:
        return [one.get("outcome") for one in made]

    def ended(one: Trial, first: Any) -> list[Any]:
        def turn(graph: Any, given: Any, config: Any) -> Any:
            return (first if given == one.given else graph.batch([given], [config])[0]).get("outcome")

        return _talk(turn, one)

    return [outcome for one, first in zip(trials, made, strict=True) for outcome in ended(one, first)]


async def _abatch(trial: Trial) -> list[Any]:
    trials = [trial, trial.again()]
    compiled = trial.compiled()
    made = await compiled.abatch([one.given for one in trials], [one.config for one in trials])
    if trial.saver is None:
        return [one.get("outcome") for one in made]

    async def ended(one: Trial, first: Any) -> list[Any]:
        async def turn(graph: Any, given: Any, config: Any) -> Any:
            return (first if given == one.given else (await graph.abatch([given], [config]))[0]).get("outcome")

        return await _atalk(turn, one)

    return [outcome for one, first in zip(trials, made, strict=True) for outcome in await ended(one, first)]


def _own(name: str, turn: _Turn) -> Way:
    return Way(name, partial(_talk, turn))


def _aown(name: str, turn: _ATurn) -> Way:
    return Way(name, partial(_atalk, turn), is_async=True)


def _modes(mode: StreamMode) -> list[StreamMode]:
    """Return a mode and, beside it, the one that tells the outcome."""
    return [mode, "values"] if mode != "values" else ["values"]


def _streams() -> list[Way]:
    found = [
        _own("stream values", _streamed(_plain, stream_mode="values")),
        _own("stream updates", _streamed(_updates, stream_mode="updates")),
        _aown("astream values", _astreamed(_plain, stream_mode="values")),
        _aown("astream updates", _astreamed(_updates, stream_mode="updates")),
        _own("stream v2", _streamed(_v2, stream_mode=list(_MODES), subgraphs=True, version="v2")),
        _aown("astream v2", _astreamed(_v2, stream_mode=list(_MODES), subgraphs=True, version="v2")),
    ]
    for mode in _MODES:
        if mode not in ("values", "updates"):
            found.append(_own(f"stream {mode}", _streamed(_several, stream_mode=_modes(mode))))
            found.append(_aown(f"astream {mode}", _astreamed(_several, stream_mode=_modes(mode))))
        nested: dict[str, Any] = {"stream_mode": _modes(mode), "subgraphs": True}
        found.append(_own(f"stream {mode} subgraphs", _streamed(_several, **nested)))
        found.append(_aown(f"astream {mode} subgraphs", _astreamed(_several, **nested)))
    return found


WAYS: tuple[Way, ...] = (
    _own("invoke", _invoke),
    _aown("ainvoke", _ainvoke),
    _own("invoke v2", _invoke_v2),
    _aown("ainvoke v2", _ainvoke_v2),
    *_streams(),
    _aown("astream_events v1", partial(_events, version="v1")),
    _aown("astream_events v2", partial(_events, version="v2")),
    _aown("astream_log", _log),
    Way("batch", _batch),
    Way("abatch", _abatch, is_async=True),
    Way("subgraph", partial(_talk, _invoke, around=inside)),
    Way("asubgraph", partial(_atalk, _ainvoke, around=inside), is_async=True),
    Way("node with config", partial(_talk, _invoke, around=partial(from_node, hands_on=True))),
    Way("anode with config", partial(_atalk, _ainvoke, around=partial(from_node, hands_on=True)), is_async=True),
    Way("node without config", partial(_talk, _invoke, around=from_node)),
    Way("anode without config", partial(_atalk, _ainvoke, around=from_node), is_async=True),
    Way("tool", lambda trial: _invoke(as_tool(trial), trial.given, trial.config), kind="tool"),
    Way("atool", lambda trial: _ainvoke(as_tool(trial), trial.given, trial.config), is_async=True, kind="tool"),
    Way("Runner.run", run_runner, kind="runner"),
    Way("Runner.arun", arun_runner, is_async=True, kind="runner"),
    Way("Runner.stream", stream_runner, kind="runner"),
    Way("Runner.astream", astream_runner, is_async=True, kind="runner"),
)
"""Every way there is. A new one is one more line."""
