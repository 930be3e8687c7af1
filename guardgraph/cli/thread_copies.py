"""`guardgraph threads copy`, `fork` and `diff`: other threads from a thread, and what differs between two."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import click

from guardgraph.cli.options import Store, database, json_option, thread_of
from guardgraph.cli.output import write_json
from guardgraph.cli.table import print_table
from guardgraph.runs.runner import Runner
from guardgraph.state import BadInput, one_line, to_json
from guardgraph.storage.channel_changes import ChannelChange

__all__ = ("copy_command", "diff_command", "fork_command")

_SHOWN = 70
"""How many characters of a value are shown."""
_SIGNS = {"added": "+", "removed": "-", "changed": "~"}
_ENDS = 2


@click.command(
    "copy",
    short_help="Copy a thread with its history and its runs.",
    epilog="\b\nExample:\n  guardgraph threads copy monday monday-again",
)
@click.argument("thread")
@click.argument("new", required=False)
@database
@json_option
def copy_command(thread: str, new: str | None, *, store: Store, as_json: bool) -> None:
    """Copy THREAD to the thread NEW, or to one with a random name, and print its name.

    Its runs are runs of their own: what has not ended can be resumed in the copy too.
    """
    with Runner(store.url, **store.access) as runner:
        made = runner.threads.copy(thread, thread_of(new))
    write_json({"thread_id": made, "copy_of": thread}) if as_json else click.echo(made)


@click.command(
    "fork",
    short_help="Make a thread that goes on from a checkpoint.",
    epilog="\b\nExample:\n  guardgraph threads fork monday monday-again",
)
@click.argument("thread")
@click.argument("new", required=False)
@click.option("--checkpoint", metavar="ID", help="One of `threads history`; the newest if none is given.")
@database
@json_option
def fork_command(thread: str, new: str | None, *, checkpoint: str | None, store: Store, as_json: bool) -> None:
    """Make the thread NEW, or one with a random name, of a checkpoint of THREAD and what it comes from; print its name.

    From an earlier checkpoint the agents that came next work again: `guardgraph resume NEW` goes on.
    """
    with Runner(store.url, **store.access) as runner:
        made = runner.threads.fork(thread, checkpoint_id=checkpoint, new_thread=thread_of(new))
    write_json({"thread_id": made, "fork_of": thread}) if as_json else click.echo(made)


@click.command(
    "diff",
    short_help="Show what differs between checkpoints or threads.",
    epilog="\b\nExample:\n  guardgraph threads diff monday --with monday-again",
)
@click.argument("thread")
@click.argument("checkpoints", nargs=-1, metavar="[BEFORE [AFTER]]")
@click.option("--with", "other", metavar="THREAD", help="Another thread, to which AFTER belongs.")
@database
@json_option
def diff_command(
    thread: str,
    checkpoints: tuple[str, ...],
    *,
    other: str | None,
    store: Store,
    as_json: bool,
) -> None:
    """Show which channels of THREAD differ between the checkpoints BEFORE and AFTER; each is the newest by default.

    Without both, and without another thread, the newest is compared with the one before. --json has the whole values.
    """
    if len(checkpoints) > _ENDS:
        raise BadInput(f"name at most two checkpoints, got {len(checkpoints)}")
    before, after = (*checkpoints, None, None)[:_ENDS]
    with Runner(store.url, **store.access) as runner:
        found = runner.threads.diff(thread, before, after, other=other)
    if as_json:
        ends = {"before": found.before, "after": found.after}
        facts = {name: {"thread_id": end[0], "checkpoint_id": end[1]} for name, end in ends.items()}
        write_json({**facts, "changes": [to_json(one._asdict()) for one in found.changes]})
        return
    click.echo(f"from {' '.join(found.before)}\n  to {' '.join(found.after)}", err=True)
    if found.changes:
        print_table(("", "channel", "change"), [(_SIGNS[one.kind], one.channel, _text(one)) for one in found.changes])
    else:
        click.echo("no channel differs", err=True)


def _text(change: ChannelChange) -> str:
    """Return what has changed, in one line."""
    before, after = to_json(change.before), to_json(change.after)
    if change.kind == "added":
        return _short(after)
    if change.kind == "removed":
        return _short(before)
    if isinstance(before, list) and isinstance(after, list):
        return _list_text(cast("list[Any]", before), cast("list[Any]", after))
    if isinstance(before, dict) and isinstance(after, dict):
        return _dict_text(cast("dict[str, Any]", before), cast("dict[str, Any]", after))
    return f"{_short(before, _SHOWN // 2)} → {_short(after, _SHOWN // 2)}"


def _list_text(before: Sequence[Any], after: Sequence[Any]) -> str:
    if after[: len(before)] == before:
        return f"{len(before)} → {len(after)} items; new: {_short(after[len(before) :])}"
    same = next((at for at, (one, two) in enumerate(zip(before, after, strict=False)) if one != two), len(after))
    return f"{len(before)} → {len(after)} items; the first {same} are equal, then: {_short(after[same:])}"


def _dict_text(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    new = {name: value for name, value in after.items() if name not in before or before[name] != value}
    gone = [name for name in before if name not in after]
    return "; ".join([_short(new)] * bool(new) + [f"without {', '.join(gone)}"] * bool(gone))


def _short(value: Any, length: int = _SHOWN) -> str:
    return one_line(value, length)
