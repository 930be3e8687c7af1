"""The ways in which a graph can be run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, get_args

from langchain_core.runnables import RunnableConfig, RunnableLambda
from langgraph.graph import END, START, StateGraph
from langgraph.types import StreamMode
from typing_extensions import TypedDict

from guardgraph.runs.runner import Runner
from guardgraph.state import Outcome
from guardgraph.testing.trial import Trial

__all__ = ("WAYS", "Kind", "Way")

Kind = Literal["graph", "tool", "runner"]
_NAME = "trial"
"""The name of the graph for a `Runner`."""
_Call = Callable[[Any, Any, Any], Any]
"""Calls a graph once with an input and a config, and returns the outcome; `None` where it was interrupted."""
_ACall = Callable[[Any, Any, Any], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Way:
    """One way to run a graph from its task to its outcome."""

    name: str
    run: Callable[[Trial], Any]
    """Returns the outcome, or a list of outcomes (as returned, as stored) that have to be the same; awaitable where
    `is_async`."""
    is_async: bool = False
    kind: Kind = "graph"
    """What runs it: the graph itself (also within another one), a tool, which takes no answers, or the `Runner`."""


def _run(call: _Call, trial: Trial, around: Callable[[Trial], Any] = Trial.compiled) -> list[Any]:
    """Run a trial to its end; return its outcome as returned and as stored."""
    graph = around(trial)
    return _finish(call, trial, graph, call(graph, trial.given, trial.config))


def _finish(call: _Call, trial: Trial, graph: Any, outcome: Any) -> list[Any]:
    """Answer every interrupt by another call; return the outcome as returned and as stored."""
    if trial.saver is None:
        return [outcome]
    stored, rounds = graph.get_state(trial.config), 0
    while stored.interrupts:
        rounds += 1
        outcome = call(graph, trial.resume(stored.interrupts, rounds), trial.config)
        stored = graph.get_state(trial.config)
    return _both(outcome, stored)


async def _arun(call: _ACall, trial: Trial, around: Callable[[Trial], Any] = Trial.compiled) -> list[Any]:
    graph = around(trial)
    return await _afinish(call, trial, graph, await call(graph, trial.given, trial.config))


async def _afinish(call: _ACall, trial: Trial, graph: Any, outcome: Any) -> list[Any]:
    if trial.saver is None:
        return [outcome]
    stored, rounds = await graph.aget_state(trial.config), 0
    while stored.interrupts:
        rounds += 1
        outcome = await call(graph, trial.resume(stored.interrupts, rounds), trial.config)
        stored = await graph.aget_state(trial.config)
    return _both(outcome, stored)


def _both(outcome: Any, stored: Any) -> list[Any]:
    """Return the outcome as returned and as stored. Raises where the thread has not ended."""
    if stored.next:
        raise AssertionError(f"there is no open interrupt, but the thread has not ended: next is {stored.next!r}")
    return [outcome, stored.values.get("outcome")]


def _invoke(graph: Any, given: Any, config: Any) -> Any:
    return graph.invoke(given, config).get("outcome")


async def _ainvoke(graph: Any, given: Any, config: Any) -> Any:
    return (await graph.ainvoke(given, config)).get("outcome")


def _invoke_v2(graph: Any, given: Any, config: Any) -> Any:
    return graph.invoke(given, config, version="v2").value.get("outcome")


async def _ainvoke_v2(graph: Any, given: Any, config: Any) -> Any:
    return (await graph.ainvoke(given, config, version="v2")).value.get("outcome")


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
    """Return the outcome from the output of such a stream: the values, or the update of the last node."""
    return output.get("outcome") or _of_updates([output])


def _batch(trial: Trial) -> list[Any]:
    """Run two at once; both outcomes have to be the same."""
    trials, graph = [trial, trial.again()], trial.compiled()
    outputs = graph.batch([one.given for one in trials], [one.config for one in trials])
    pairs = zip(trials, outputs, strict=True)
    return [outcome for one, output in pairs for outcome in _finish(_invoke, one, graph, output.get("outcome"))]


async def _abatch(trial: Trial) -> list[Any]:
    trials, graph = [trial, trial.again()], trial.compiled()
    outputs = await graph.abatch([one.given for one in trials], [one.config for one in trials])
    pairs = zip(trials, outputs, strict=True)
    return [outcome for one, output in pairs for outcome in await _afinish(_ainvoke, one, graph, output.get("outcome"))]


def _of_values(parts: Sequence[Any]) -> Any:
    """Return the outcome from the parts of `stream_mode="values"`."""
    return parts[-1].get("outcome")


def _of_updates(parts: Sequence[Any]) -> Any:
    updates = (update for part in reversed(parts) for update in part.values() if isinstance(update, Mapping))
    return next((update["outcome"] for update in updates if update.get("outcome") is not None), None)


def _of_several(parts: Sequence[Any]) -> Any:
    """Return the outcome from the values among the parts of several modes, with or without subgraphs."""
    own = [part for part in parts if len(part) == 2 or part[0] == ()]
    return next((part[-1].get("outcome") for part in reversed(own) if part[-2] == "values"), None)


def _of_v2(parts: Sequence[Any]) -> Any:
    own = [part for part in parts if part["type"] == "values" and not part["ns"]]
    return own[-1]["data"].get("outcome")


def _streams() -> Iterator[Way]:
    """Yield every kind of stream, sync and async."""
    modes = get_args(StreamMode)
    streams: list[tuple[str, Callable[[Sequence[Any]], Any], dict[str, Any]]] = [
        ("values", _of_values, {"stream_mode": "values"}),
        ("updates", _of_updates, {"stream_mode": "updates"}),
        ("v2", _of_v2, {"stream_mode": list(modes), "subgraphs": True, "version": "v2"}),
    ]
    for mode in modes:
        both = list(dict.fromkeys((mode, "values")))  # the outcome is read from the values
        streams.append((f"{mode} subgraphs", _of_several, {"stream_mode": both, "subgraphs": True}))
        if mode not in ("values", "updates"):
            streams.append((mode, _of_several, {"stream_mode": both}))
    for name, read, options in streams:
        yield Way(f"stream {name}", partial(_run, partial(_stream, read=read, **options)))
        yield Way(f"astream {name}", partial(_arun, partial(_astream, read=read, **options)), is_async=True)


def _stream(graph: Any, given: Any, config: Any, *, read: Callable[[Sequence[Any]], Any], **options: Any) -> Any:
    return read(list(graph.stream(given, config, **options)))


async def _astream(graph: Any, given: Any, config: Any, *, read: Callable[[Sequence[Any]], Any], **options: Any) -> Any:
    return read([part async for part in graph.astream(given, config, **options)])


def _run_runner(trial: Trial, *, streams: bool = False) -> Any:
    """Run by `Runner.run` or `Runner.stream`; return the outcome as returned and as stored."""
    with _runner(trial) as runner:
        if streams:
            *_, run = runner.stream(_NAME, trial.task, thread_id=trial.thread_id)
        else:
            run = runner.run(_NAME, trial.task, thread_id=trial.thread_id)
        rounds = 0
        while run.status == "waiting":
            rounds += 1
            run = runner.resume(run.thread_id, answers=trial.answers(run.waiting, rounds))
        return [run.outcome, runner.status(run.thread_id).outcome]


async def _arun_runner(trial: Trial, *, streams: bool = False) -> Any:
    """Do as `_run_runner` by `Runner.arun` or `Runner.astream`."""
    async with _runner(trial) as runner:
        if streams:
            *_, run = [part async for part in runner.astream(_NAME, trial.task, thread_id=trial.thread_id)]
        else:
            run = await runner.arun(_NAME, trial.task, thread_id=trial.thread_id)
        rounds = 0
        while run.status == "waiting":
            rounds += 1
            run = await runner.aresume(run.thread_id, answers=trial.answers(run.waiting, rounds))
        return [run.outcome, (await runner.astatus(run.thread_id)).outcome]


def _runner(trial: Trial) -> Runner:
    if trial.url is None:
        raise AssertionError("the Runner needs the URL of a database")
    return Runner(trial.url, graphs={_NAME: trial.build})


class _Outer(TypedDict, total=False):
    task: Any
    outcome: Outcome


def _inside(trial: Trial) -> Any:
    """Return a compiled graph in which the trial's graph is a node."""
    return _outer(trial, trial.build().compile())


def _from_node(trial: Trial, *, passes_config: bool = False) -> Any:
    """Return a compiled graph with a node that calls the trial's graph; `passes_config`: with its own config."""
    inner: Any = trial.build().compile()

    def call(state: _Outer, config: RunnableConfig) -> Any:
        output = inner.invoke(state, config) if passes_config else inner.invoke(state)
        return {"outcome": output["outcome"]}

    async def acall(state: _Outer, config: RunnableConfig) -> Any:
        output = await (inner.ainvoke(state, config) if passes_config else inner.ainvoke(state))
        return {"outcome": output["outcome"]}

    return _outer(trial, RunnableLambda(call, acall))


def _as_tool(trial: Trial) -> Any:
    """Return the compiled graph as a tool."""
    return trial.compiled().as_tool(name="team", description="Does a task.")


def _outer(trial: Trial, node: Any) -> Any:
    graph = StateGraph(_Outer)
    graph.add_node("team", node)
    graph.add_edge(START, "team")
    graph.add_edge("team", END)
    return trial.compiled(graph)


def _pair(name: str, around: Callable[[Trial], Any]) -> tuple[Way, Way]:
    """Return `invoke` and `ainvoke` of a graph around that of the trial."""
    return (
        Way(name, partial(_run, _invoke, around=around)),
        Way(f"a{name}", partial(_arun, _ainvoke, around=around), is_async=True),
    )


WAYS: tuple[Way, ...] = (
    *_pair("invoke", Trial.compiled),
    Way("invoke v2", partial(_run, _invoke_v2)),
    Way("ainvoke v2", partial(_arun, _ainvoke_v2), is_async=True),
    *_streams(),
    Way("astream_events v1", partial(_arun, partial(_events, version="v1")), is_async=True),
    Way("astream_events v2", partial(_arun, partial(_events, version="v2")), is_async=True),
    Way("astream_log", partial(_arun, _log), is_async=True),
    Way("batch", _batch),
    Way("abatch", _abatch, is_async=True),
    *_pair("subgraph", _inside),
    *_pair("node with config", partial(_from_node, passes_config=True)),
    *_pair("node without config", _from_node),
    Way("tool", lambda trial: _invoke(_as_tool(trial), trial.given, trial.config), kind="tool"),
    Way("atool", lambda trial: _ainvoke(_as_tool(trial), trial.given, trial.config), is_async=True, kind="tool"),
    Way("Runner.run", _run_runner, kind="runner"),
    Way("Runner.arun", _arun_runner, is_async=True, kind="runner"),
    Way("Runner.stream", partial(_run_runner, streams=True), kind="runner"),
    Way("Runner.astream", partial(_arun_runner, streams=True), is_async=True, kind="runner"),
)
"""Every way there is. A new one is one more line."""
