"""`guardgraph threads`: the stored threads and runs, and the commands that manage them."""

from __future__ import annotations

from typing import Any, get_args

import click

from guardgraph.cli.options import Store, database, json_option
from guardgraph.cli.output import write_json
from guardgraph.cli.run_with_progress import write_run
from guardgraph.cli.table import print_table
from guardgraph.cli.thread_causes import causes_command
from guardgraph.cli.thread_copies import copy_command, diff_command, fork_command
from guardgraph.cli.thread_damage import repair_command, verify_command
from guardgraph.cli.thread_events import events_command
from guardgraph.cli.thread_import import import_command
from guardgraph.cli.thread_publish import publish_command, replay_command
from guardgraph.cli.thread_removal import delete_command, prune_command
from guardgraph.runs.run import RunStatus, RunSummary
from guardgraph.runs.runner import Runner
from guardgraph.state import to_json
from guardgraph.state.text import one_line

__all__ = ("threads_group",)

_GOAL = 60


@click.group("threads", epilog="\b\nExample:\n  guardgraph threads list --status waiting")
def threads_group() -> None:
    """Inspect and manage stored threads."""


@threads_group.command("list", epilog="\b\nExample:\n  guardgraph threads list --status waiting")
@click.option(
    "--limit", type=click.IntRange(min=1), default=20, show_default=True, metavar="N", help="At most this many."
)
@click.option(
    "--status",
    type=click.Choice(get_args(RunStatus)),
    metavar="STATUS",
    help=f"Only runs with this status: {', '.join(get_args(RunStatus))}.",
)
@database
@json_option
def _list(*, limit: int, status: RunStatus | None, store: Store, as_json: bool) -> None:
    """List the latest runs, newest first."""
    with Runner(store.url, **store.access) as runner:
        found = runner.list_runs(limit, status=status)
    if as_json:
        write_json([_facts(one) for one in found])
        return
    if not found:
        click.echo(f"no runs are {status}" if status else "no runs are stored here", err=True)
        return
    print_table(
        ("thread", "graph", "status", "begun (UTC)", "task"),
        [
            (r.thread_id, r.graph, status, f"{r.created:%Y-%m-%d %H:%M}", one_line(r.task.goal, _GOAL))
            for r, status in found
        ],
    )


@threads_group.command(
    "show",
    short_help="Show the last run of a thread.",
    epilog="\b\nExample:\n  guardgraph threads show monday",
)
@click.argument("thread")
@database
@json_option
def _show(thread: str, *, store: Store, as_json: bool) -> None:
    """Show the last run of THREAD, without running anything."""
    with Runner(store.url, **store.access) as runner:
        run = runner.status(thread)
    write_run(run, store=store, as_json=as_json)


@threads_group.command("history", epilog="\b\nExample:\n  guardgraph threads history monday --limit 5")
@click.argument("thread")
@click.option(
    "--limit", type=click.IntRange(min=1), default=50, show_default=True, metavar="N", help="At most this many."
)
@database
@json_option
def _history(thread: str, *, limit: int, store: Store, as_json: bool) -> None:
    """List the checkpoints of THREAD, newest first."""
    with Runner(store.url, **store.access) as runner:
        found = runner.history(thread, limit)
    if as_json:
        write_json(found)
        return
    rows = [(str(one["step"]), str(one["at"])[:23], one["id"], _written(one)) for one in found]
    print_table(("step", "at (UTC)", "checkpoint", "channels written"), rows)


def _written(checkpoint: dict[str, Any]) -> str:
    """Return the channels that were written, without LangGraph's own."""
    return ", ".join(name for name in checkpoint.get("channels") or () if not name.startswith(("__", "branch:")))


def _facts(found: RunSummary) -> dict[str, Any]:
    row, status = found
    facts = {name: value for name, value in row._asdict().items() if name != "command"}
    return {**facts, "status": status, "task": to_json(row.task), "outcome": to_json(row.outcome)}


for _command in (
    events_command,
    causes_command,
    publish_command,
    replay_command,
    verify_command,
    repair_command,
    prune_command,
    copy_command,
    fork_command,
    diff_command,
    delete_command,
    import_command,
):
    threads_group.add_command(_command)
