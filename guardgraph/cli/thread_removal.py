"""`guardgraph threads prune` and `delete`: removing what is not needed any more."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import click

from guardgraph.cli.confirmation import confirm, tracked, yes_option
from guardgraph.cli.exit_code import ExitCode
from guardgraph.cli.options import Store, age_of, database, json_option
from guardgraph.cli.output import write_json
from guardgraph.cli.table import print_table, size_text
from guardgraph.runs.runner import Runner
from guardgraph.state import BadInput, StorageCorrupt, UnknownThread
from guardgraph.storage import Removed, Retention, Threads

__all__ = ("delete_command", "prune_command")

_dry_run = click.option("--dry-run", is_flag=True, help="Show what would go, and remove nothing.")


@click.command(
    "prune",
    short_help="Remove old checkpoints.",
    epilog="\b\nExample:\n  guardgraph threads prune --keep 10 --older-than 30d --dry-run",
)
@click.option("--keep", type=click.IntRange(min=1), metavar="N", help="Keep the newest N checkpoints of a thread.")
@click.option("--older-than", metavar="AGE", help="Keep checkpoints that are not older, such as 12h or 30d.")
@click.option("--keep-forks/--no-keep-forks", default=True, show_default=True, help="Keep the heads of all branches.")
@click.option("--thread", "threads", multiple=True, metavar="ID", help="Only this thread; may be repeated.")
@_dry_run
@yes_option
@database
@json_option
def prune_command(
    *,
    keep: int | None,
    older_than: str | None,
    keep_forks: bool,
    threads: tuple[str, ...],
    dry_run: bool,
    yes: bool,
    store: Store,
    as_json: bool,
) -> int:
    """Remove checkpoints of all threads that neither --keep nor --older-than keeps.

    The newest checkpoint of a thread always stays, and whatever those that stay need. Threads that are worked on, whose
    last run has not ended, or that are damaged are skipped; where --thread names one, that is an error.
    """
    if keep is None and older_than is None:
        raise BadInput("name what is kept: --keep N, --older-than AGE or both")
    retention = Retention(keep=keep, older_than=age_of("--older-than", older_than), keep_forks=keep_forks)
    with Runner(store.url, **store.access) as runner:
        names = threads or runner.threads.ids()
        for thread in threads:
            runner.threads.prune(thread, retention, dry_run=True)
        if not dry_run and not yes:
            planned = _pruned(runner.threads, names, retention, dry_run=True, as_json=as_json)
            if not confirm(f"remove {_total(planned)}", yes=yes, as_json=as_json):
                return ExitCode.ERROR
        removed = _pruned(runner.threads, names, retention, dry_run=dry_run, as_json=as_json)
    _write(removed, dry_run=dry_run, as_json=as_json)
    return ExitCode.OK


@click.command(
    "delete",
    short_help="Delete threads with all that belongs to them.",
    epilog="\b\nExample:\n  guardgraph threads delete monday",
)
@click.argument("threads", nargs=-1, required=True, metavar="THREAD…")
@click.option("--with-effects", is_flag=True, help="Also forget the side effects of its runs; they can happen again.")
@_dry_run
@yes_option
@database
@json_option
def delete_command(
    threads: tuple[str, ...],
    *,
    with_effects: bool,
    dry_run: bool,
    yes: bool,
    store: Store,
    as_json: bool,
) -> int:
    """Delete each THREAD: its checkpoints, its runs and what they have spent. That cannot be undone.

    A thread that is worked on is an error, and then none is deleted.
    """
    names = tuple(dict.fromkeys(threads))
    with Runner(store.url, **store.access) as runner:
        found = [runner.threads.delete(name, with_effects=with_effects, dry_run=True) for name in names]
        question = (
            f"delete {_named(runner, names)} with {_counted(sum(one.runs for one in found), 'run')}, {_size(found)}"
        )
        if not dry_run:
            if not confirm(question, yes=yes, as_json=as_json):
                return ExitCode.ERROR
            found = [
                runner.threads.delete(name, with_effects=with_effects)
                for name in tracked(names, len(names), "deleting", as_json=as_json)
            ]
    _write(found, dry_run=dry_run, as_json=as_json)
    return ExitCode.OK


def _pruned(
    threads: Threads, names: Sequence[str], retention: Retention, *, dry_run: bool, as_json: bool
) -> list[Removed]:
    each = threads.prune_all(retention, thread_ids=names, dry_run=dry_run)
    return [*tracked(each, len(names), "looking" if dry_run else "pruning", as_json=as_json)]


def _named(runner: Runner, names: Sequence[str]) -> str:
    """Return which threads are to go; of a single one also how its last run is, where that can be read."""
    if len(names) > 1:
        return f"{len(names)} threads"
    with suppress(UnknownThread, StorageCorrupt):
        return f"thread {names[0]!r} ({runner.status(names[0]).status})"
    return f"thread {names[0]!r}"


def _write(removed: Sequence[Removed], *, dry_run: bool, as_json: bool) -> None:
    if as_json:
        write_json({"dry_run": dry_run, "threads": [_facts(one) for one in removed]})
        return
    touched = [one for one in removed if one.checkpoints or one.runs]
    if touched:
        rows = [
            (one.thread_id, f"{one.checkpoints:,}", f"{one.kept:,}", f"{one.runs:,}", size_text(one.bytes))
            for one in touched
        ]
        print_table(("thread", "checkpoints removed", "kept", "runs removed", "size"), rows)
    for one in removed:
        if one.skipped is not None:
            click.echo(f"skipped: {one.skipped}", err=True)
    click.echo(f"{'would remove' if dry_run else 'removed'} {_total(removed)}", err=True)


def _total(removed: Sequence[Removed]) -> str:
    touched = sum(1 for one in removed if one.checkpoints or one.runs)
    skipped = sum(1 for one in removed if one.skipped)
    more = f"; {_counted(skipped, 'thread')} skipped" if skipped else ""
    return f"{_size(removed)} of {_counted(touched, 'thread')}{more}"


def _size(removed: Sequence[Removed]) -> str:
    size = size_text(sum(one.bytes for one in removed))
    return f"{_counted(sum(one.checkpoints for one in removed), 'checkpoint')} ({size})"


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def _facts(removed: Removed) -> dict[str, Any]:
    error = removed.skipped
    return {
        "thread_id": removed.thread_id,
        "checkpoints": removed.checkpoints,
        "kept": removed.kept,
        "runs": removed.runs,
        "effects": removed.effects,
        "bytes": removed.bytes,
        "skipped": None if error is None else {"error": type(error).__name__, "message": str(error)},
    }
