"""`guardgraph threads events`: what has happened in a run."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from time import sleep
from typing import get_args

import click

from guardgraph.cli.options import Store, database, json_option
from guardgraph.runs.runner import Runner
from guardgraph.state import EventKind, StoredEvent, one_line

__all__ = ("events_command",)

_POLL = 0.5
_WIDTH = 200


@click.command(
    "events",
    short_help="List what has happened in a run.",
    epilog="\b\nExample:\n  guardgraph threads events monday --kind verdict --follow",
)
@click.argument("thread")
@click.option("--run", "run_id", metavar="ID", help="A run of the thread; by default its last one.")
@click.option(
    "--kind",
    "kinds",
    type=click.Choice(get_args(EventKind)),
    multiple=True,
    metavar="KIND",
    help=f"Only events of this kind, several times for several: {', '.join(get_args(EventKind))}.",
)
@click.option("--after", type=click.IntRange(min=0), default=0, metavar="N", help="Only those after number N.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="At most this many.")
@click.option("--follow", is_flag=True, help="Wait for more until the run ends, waits or is stopped.")
@database
@json_option
def events_command(
    thread: str,
    *,
    run_id: str | None,
    kinds: Collection[EventKind],
    after: int,
    limit: int | None,
    follow: bool,
    store: Store,
    as_json: bool,
) -> None:
    """List what has happened in a run of THREAD, oldest first; with --json each event is a line."""
    found = None
    with Runner(store.url, **store.access) as runner:
        for event in _events(runner, thread, run_id, after, follow=follow):
            if kinds and event.kind not in kinds:
                continue
            found = event
            click.echo(json.dumps(event.model_dump(mode="json")) if as_json else _line(event))
            if limit is not None and (limit := limit - 1) == 0:
                return
    if found is None:
        click.echo("no such events are stored", err=True)


def _events(runner: Runner, thread: str, run_id: str | None, after: int, *, follow: bool) -> Iterator[StoredEvent]:
    while True:
        last = runner.status(thread)  # before the events, so that none is missed
        run_id = run_id or last.run_id
        works = follow and last.run_id == run_id and last.status == "running"
        for event in runner.events(thread, run_id=run_id, after=after):
            after = event.number
            yield event
        if not works:
            return
        sleep(_POLL)


def _line(event: StoredEvent) -> str:
    return f"{event.number:>5}  {event.at:%Y-%m-%d %H:%M:%S.%f}  {one_line(str(event), _WIDTH)}"
