"""`guardgraph threads`: what is stored."""

from __future__ import annotations

from typing import Any, get_args

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from guardgraph.runs.command.driving import tell
from guardgraph.runs.command.options import database, json_option, url_of
from guardgraph.runs.command.written import write_json
from guardgraph.runs.runner import Runner
from guardgraph.state import OutcomeStatus, to_json
from guardgraph.state.sql import RunRow

__all__ = ("threads_group",)

_GOAL = 60


@click.group("threads")
def threads_group() -> None:
    """Look at stored threads and their runs."""


@threads_group.command("list")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, metavar="N")
@click.option("--status", type=click.Choice(get_args(OutcomeStatus)), help="Only runs that ended so.")
@database
@json_option
def _list(*, limit: int, status: str | None, db: str | None, as_json: bool) -> None:
    """List the latest runs, newest first."""
    with Runner(url_of(db)) as runner:
        rows = runner.threads(limit, status=status)
    if as_json:
        write_json([_facts(row) for row in rows])
        return
    if not rows:
        click.echo("no runs are stored here", err=True)
        return
    _print_table(
        ("thread", "graph", "status", "begun (UTC)", "task"),
        [(r.thread_id, r.graph, r.status or "unfinished", f"{r.created:%Y-%m-%d %H:%M}", _goal(r)) for r in rows],
    )


@threads_group.command("show")
@click.argument("thread")
@database
@json_option
def _show(thread: str, *, db: str | None, as_json: bool) -> None:
    """Tell how the last run of THREAD stands, without running anything."""
    with Runner(url_of(db)) as runner:
        run = runner.status(thread)
    tell(run, db=db, as_json=as_json)


@threads_group.command("history")
@click.argument("thread")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, metavar="N")
@database
@json_option
def _history(thread: str, *, limit: int, db: str | None, as_json: bool) -> None:
    """List the checkpoints of THREAD, newest first."""
    with Runner(url_of(db)) as runner:
        found = runner.history(thread, limit)
    if as_json:
        write_json(found)
        return
    rows = [(str(one["step"]), str(one["at"])[:23], one["id"], ", ".join(_written(one))) for one in found]
    _print_table(("step", "at (UTC)", "checkpoint", "channels written"), rows)


def _written(checkpoint: dict[str, Any]) -> list[str]:
    """Return the channels of our state that were written, without LangGraph's own."""
    return [name for name in checkpoint.get("channels") or () if not name.startswith(("__", "branch:"))]


def _facts(row: RunRow) -> dict[str, Any]:
    return {**row._asdict(), "task": to_json(row.task), "outcome": to_json(row.outcome)}


def _goal(row: RunRow) -> str:
    goal = " ".join(row.task.goal.split())
    return goal if len(goal) <= _GOAL else f"{goal[: _GOAL - 1]}…"


def _print_table(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """Print rows on stdout; elsewhere than on a terminal no cell is cut or wrapped."""
    console = Console()
    if not console.is_terminal:
        for row in (heads, *rows):
            click.echo("\t".join(row))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for head in heads:
        table.add_column(head, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    console.print(table)
