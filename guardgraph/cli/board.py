"""`guardgraph board`: what is on a board, and how it came there."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import click

from guardgraph.cli.options import Store, database, json_option
from guardgraph.cli.output import write_json
from guardgraph.cli.table import print_table
from guardgraph.runs.boards import stored
from guardgraph.runs.runner import Runner
from guardgraph.state import BadInput, BoardEntry, nearest_text, one_line

__all__ = ("board_group",)

_SHOWN = 80


def _place(command: Callable[..., Any]) -> Callable[..., Any]:
    """Let a command take `--thread ID` or `--shared`."""
    shared = click.option("--shared", is_flag=True, help="The one that all threads share by its name.")
    return click.option("--thread", "thread_id", metavar="ID", help="The thread that it belongs to.")(shared(command))


@click.group("board", epilog="\b\nExample:\n  guardgraph board show plan --thread monday")
def board_group() -> None:
    """Inspect the boards that teams share."""


@board_group.command(
    "show",
    short_help="List the entries of a board.",
    epilog="\b\nExample:\n  guardgraph board show plan --thread monday --prefix budget",
)
@click.argument("name")
@click.option("--prefix", default="", metavar="TEXT", help="Only entries whose keys begin with this.")
@_place
@database
@json_option
def _show(name: str, *, prefix: str, thread_id: str | None, shared: bool, store: Store, as_json: bool) -> None:
    """List the entries of the board NAME at their last versions, sorted by key."""
    _check_place(thread_id, shared=shared)
    with Runner(store.url, **store.access) as runner:
        found = runner.board(name, thread_id=thread_id).entries(prefix)
        known = [] if found else stored(runner.saver, thread_id=thread_id)
    if not found:
        _check_board(name, known, thread_id=thread_id)
    _print(found, as_json=as_json)


@board_group.command(
    "history",
    short_help="List all versions of an entry.",
    epilog="\b\nExample:\n  guardgraph board history plan budget --thread monday",
)
@click.argument("name")
@click.argument("entry_key", metavar="KEY")
@_place
@database
@json_option
def _history(name: str, entry_key: str, *, thread_id: str | None, shared: bool, store: Store, as_json: bool) -> None:
    """List all versions of the entry KEY of the board NAME, oldest first."""
    _check_place(thread_id, shared=shared)
    with Runner(store.url, **store.access) as runner:
        board = runner.board(name, thread_id=thread_id)
        found = board.history(entry_key)
        known = [] if found else stored(runner.saver, thread_id=thread_id)
        keys = [] if found else sorted({entry.key for entry in board.changes()})
    if not found:
        _check_board(name, known, thread_id=thread_id)
        raise BadInput(f"entry {entry_key!r} of board {name!r} was never written{nearest_text(entry_key, keys)}")
    _print(found, as_json=as_json)


def _check_board(name: str, known: Sequence[str], *, thread_id: str | None) -> None:
    if name not in known:
        whose = "that all threads share" if thread_id is None else f"of thread {thread_id!r}"
        there = ", ".join(map(repr, known)) or "none"
        raise BadInput(f"nothing was ever written on a board {name!r} {whose}; there are: {there}")


def _check_place(thread_id: str | None, *, shared: bool) -> None:
    if (thread_id is None) is not shared:
        raise BadInput("name which board it is: --thread ID, or --shared for the one that all threads share")


def _print(entries: Sequence[BoardEntry], *, as_json: bool) -> None:
    if as_json:
        write_json([entry.model_dump(mode="json") for entry in entries])
    elif not entries:
        click.echo("there are no such entries", err=True)
    else:
        print_table(("key", "version", "kind", "author", "at (UTC)", "value"), [_row(entry) for entry in entries])


def _row(entry: BoardEntry) -> tuple[str, ...]:
    value = "(deleted)" if entry.is_deleted else json.dumps(entry.value, ensure_ascii=False)
    written = f"{entry.at:%Y-%m-%d %H:%M:%S}"
    return one_line(entry.key, _SHOWN), str(entry.version), entry.kind, entry.author, written, one_line(value, _SHOWN)
