"""`guardgraph threads causes`: which event of a reactive team has caused which."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from guardgraph.cli.options import Store, database, json_option
from guardgraph.cli.output import write_json
from guardgraph.graphs.draw.causes import causes_as_mermaid
from guardgraph.runs.runner import Runner
from guardgraph.state import deliveries_of, events_of

__all__ = ("causes_command",)


@click.command(
    "causes",
    short_help="Show which event has caused which.",
    epilog="\b\nExample:\n  guardgraph threads causes monday > causes.mmd",
)
@click.argument("thread")
@database
@json_option
def causes_command(thread: str, *, store: Store, as_json: bool) -> None:
    """Show which event of THREAD has caused which, as a Mermaid flowchart.

    With --json it is a list of the events, each with what has become of it at its subscribers. Only the outermost team
    of a thread is shown, and only a reactive one has events.
    """
    with Runner(store.url, **store.access) as runner:
        state = runner.status(thread).state
    events = events_of(state)
    if as_json:
        write_json(_with_deliveries(state))
    elif events:
        click.echo(causes_as_mermaid(events))
    else:
        click.echo(f"thread {thread!r} has no events", err=True)


def _with_deliveries(state: Mapping[str, Any]) -> list[dict[str, Any]]:
    by_event: dict[str, list[dict[str, Any]]] = {}
    for one in deliveries_of(state):
        facts = one.model_dump(mode="json", exclude={"event"}, exclude_defaults=True)
        by_event.setdefault(one.event, []).append(facts)
    return [{**event.model_dump(mode="json"), "deliveries": by_event.get(event.ref, [])} for event in events_of(state)]
