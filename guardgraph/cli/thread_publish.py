"""`guardgraph threads publish` and `replay`: events for the reactive teams of a thread."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import click

from guardgraph.cli.exit_code import ExitCode
from guardgraph.cli.graph_loader import builder_of, graph_at
from guardgraph.cli.options import Store, database, json_option
from guardgraph.cli.output import write_json
from guardgraph.cli.run_with_progress import command_line, run_with_progress
from guardgraph.runs.event_wait import types_accepted
from guardgraph.runs.publishing import parked_event
from guardgraph.runs.run import Run
from guardgraph.runs.runner import Runner
from guardgraph.state import BadInput, Event, has_log, new_id, printable
from guardgraph.storage.sql.published import Publication

__all__ = ("publish_command", "replay_command")

_SOURCE = "outside"
_Published = Sequence[tuple[str, Publication]]
"""The `ref` of each event, and where it was stored."""

_graph_option = click.option(
    "--graph", metavar="MODULE:GRAPH", help="The graph of the thread: its run goes on here. Else it is only stored."
)


@click.command(
    "publish",
    short_help="Publish an event to a thread.",
    epilog='\b\nExample:\n  guardgraph threads publish monday order --data \'{"item": "lamp"}\'',
)
@click.argument("thread")
@click.argument("kind", metavar="TYPE")
@click.option("--data", metavar="JSON", help="What is known of it.")
@click.option("--source", metavar="NAME", help=f"Where it comes from; by default `{_SOURCE}`.")
@click.option("--id", "name", metavar="ID", help="Its name, unique in its source; published twice, it is stored once.")
@click.option("--subject", default="", metavar="TEXT", help="What it is about, such as the number of an order.")
@_graph_option
@database
@json_option
def publish_command(
    thread: str,
    *,
    kind: str,
    data: str | None,
    source: str | None,
    name: str | None,
    subject: str,
    graph: str | None,
    store: Store,
    as_json: bool,
) -> int:
    """Publish an event of TYPE to the reactive teams of THREAD, also while a process works on it.

    With --graph a run that waits for events goes on here, as `resume` does. Without it the event is stored, and is
    delivered by whoever goes on with the thread.
    """
    event: dict[str, Any] = {"type": kind, "data": _data(data), "subject": subject}
    event |= {"source": source or _SOURCE, "id": name or new_id()}

    def publish(runner: Runner) -> _Published:
        done = runner.publish(thread, event, wake=False)
        return [(Event.model_validate(event).ref, done)]

    run = _run_of(thread, store)
    return _deliver(publish, run, graph, store=store, as_json=as_json, begins=False, note=_unaccepted(run, kind))


@click.command(
    "replay",
    short_help="Deliver parked events again.",
    epilog="\b\nExample:\n  guardgraph threads replay monday shop/17",
)
@click.argument("thread")
@click.argument("events", nargs=-1, required=True, metavar="REF…")
@_graph_option
@database
@json_option
def replay_command(thread: str, *, events: Sequence[str], graph: str | None, store: Store, as_json: bool) -> int:
    """Deliver the parked events REF of THREAD again, where they are parked.

    `threads show` lists what is parked. With --graph this is done here: a run that waits goes on, and one that has
    ended is followed by another one of the same task. Without it the request is stored.
    """
    run = _run_of(thread, store)
    found = [parked_event(thread, run.state, ref).ref for ref in dict.fromkeys(events)]  # all of them, or none

    def replay(runner: Runner) -> _Published:
        return [(ref, runner.replay(thread, ref, wake=False)) for ref in found]

    return _deliver(replay, run, graph, store=store, as_json=as_json, begins=True)


def _run_of(thread: str, store: Store) -> Run:
    with Runner(store.url, **store.access) as runner:
        return runner.status(thread)


def _data(text: str | None) -> Any:
    """Return the data of an event. Raises `BadInput` for what is no JSON."""
    try:
        return None if text is None else json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"--data is not JSON: {error}; a text has quotes of its own: --data '\"a text\"'") from error


def _unaccepted(run: Run, kind: str) -> str:
    """Return what becomes of an event of this type in a run that waits and does not accept it; else nothing."""
    accepted = [types for wait in run.waiting if (types := types_accepted(wait.value)) is not None]
    if not accepted or any(kind in types for types in accepted):
        return ""
    listed = ", ".join(sorted({repr(one) for types in accepted for one in types}))
    return f"; the run accepts {listed}: one of type {kind!r} becomes a gap, unless its graph has changed"


def _deliver(
    publish: Callable[[Runner], _Published],
    run: Run,
    graph: str | None,
    *,
    store: Store,
    as_json: bool,
    begins: bool,
    note: str = "",
) -> int:
    """Store events, let the run go on where that can be done here, report it, and return the exit code."""
    graphs = _graphs(run, graph)
    with Runner(store.url, **store.access, graphs=graphs) as runner:
        done = publish(runner)
        run = runner.status(run.thread_id)
    facts: dict[str, Any] = {
        "published": [{"event": ref, "number": one.number, "is_new": one.is_new} for ref, one in done]
    }
    if graphs and (run.status == "waiting" or (begins and run.outcome is not None)):
        if not as_json:
            _print_stored(done, run)
        return _woken(run, graphs, store=store, as_json=as_json, facts=facts)
    following = _following(run, store, begins=begins and not graphs) + note
    if as_json:
        write_json({"thread_id": run.thread_id, **facts, "next": following})
    else:
        for ref, _ in done:
            click.echo(printable(ref))
        _print_stored(done, run)
        click.echo(printable(following), err=True)
    return ExitCode.OK


def _graphs(run: Run, graph: str | None) -> dict[str, Callable[..., Any]]:
    """Return the graph under the name that it has on the thread. Raises `BadInput` if there is none."""
    if graph is None:
        return {}
    if graph != run.graph:
        graph_at(graph)  # so that a missing graph is an error before anything is stored
    return {run.graph: partial(graph_at, graph)}


def _woken(
    run: Run, graphs: dict[str, Callable[..., Any]], *, store: Store, as_json: bool, facts: dict[str, Any]
) -> int:
    last = run

    def wake(runner: Runner) -> Run:
        nonlocal last
        runner.wake(run.thread_id)
        last = runner.status(run.thread_id)
        return last

    code = run_with_progress(
        wake, run.thread_id, store, graphs=graphs, as_json=as_json, finished=len(run.results), facts=facts
    )
    return ExitCode.OK if last.status == "running" else code  # another process has taken it


def _following(run: Run, store: Store, *, begins: bool) -> str:
    """Return what has to be done so that what was stored is delivered."""
    wakes = f"`Runner.wake()` of a process that has the graph {run.graph!r}"
    if run.status == "running":
        return "the process that works on the thread delivers it"
    if run.outcome is not None:
        here = ", or this command with --graph MODULE:GRAPH" if begins else ""
        how = f"the run has ended ({run.status}): its next run delivers it, or {wakes}{here}"
    elif builder_of(run.graph):
        how = f"deliver it with: {command_line('resume', run.thread_id, store)}"
    elif run.status == "waiting":
        how = f"{wakes} delivers it, or this command with --graph MODULE:GRAPH"
    else:
        how = f"the run is {run.status}: `Runner.resume()` of a process that has the graph {run.graph!r} delivers it"
    within = (
        "" if has_log(run.state) else "; the thread's own team is not reactive: only such teams within it are given it"
    )
    return how + within


def _print_stored(done: _Published, run: Run) -> None:
    """Write on stderr where each event was stored."""
    for ref, one in done:
        how = "stored" if one.is_new else "was published before,"
        click.echo(printable(f"{ref}: {how} as event {one.number:,} of thread {run.thread_id!r}"), err=True)
