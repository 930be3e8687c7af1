"""`guardgraph threads verify` and `repair`: finding damage, and going back to what is not damaged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from guardgraph.cli.confirmation import confirm, tracked, yes_option
from guardgraph.cli.exit_code import ExitCode
from guardgraph.cli.options import Store, database, json_option
from guardgraph.cli.output import write_json
from guardgraph.cli.table import print_table
from guardgraph.runs.runner import Runner
from guardgraph.state import StorageCorrupt

__all__ = ("repair_command", "verify_command")


@click.command(
    "verify",
    short_help="Look for damage in stored threads.",
    epilog="\b\nExample:\n  guardgraph threads verify && echo all is well",
)
@click.argument("threads", nargs=-1, metavar="[THREAD]…")
@database
@json_option
def verify_command(threads: tuple[str, ...], *, store: Store, as_json: bool) -> int:
    """Compare what is stored of each THREAD, or of all threads, with its digests.

    Exits with 6 where anything is damaged.
    """
    found: dict[str, list[StorageCorrupt]] = {}
    with Runner(store.url, **store.access) as runner:
        for thread in threads:
            runner.threads.check_stored(thread)
        names = threads or runner.threads.ids()
        for thread in tracked(names, len(names), "verifying", as_json=as_json):
            found[thread] = runner.saver.verify(thread)
    damaged = [thread for thread, faults in found.items() if faults]
    if as_json:
        write_json({"threads": [{"thread_id": name, "damage": _facts(faults)} for name, faults in found.items()]})
    else:
        _print_damage([fault for faults in found.values() for fault in faults])
        number = f"{len(found):,} thread{'' if len(found) == 1 else 's'} verified"
        advice = f"; `guardgraph threads repair {damaged[0]}` goes back to what is not" if damaged else ""
        click.echo(f"{number}, {len(damaged) or 'none'} damaged{advice}", err=True)
    return ExitCode.DAMAGED if damaged else ExitCode.OK


@click.command(
    "repair",
    short_help="Go back to what is not damaged.",
    epilog="\b\nExample:\n  guardgraph threads repair monday --dry-run",
)
@click.argument("thread")
@click.option("--dry-run", is_flag=True, help="Show the damage, and change nothing.")
@yes_option
@database
@json_option
def repair_command(thread: str, *, dry_run: bool, yes: bool, store: Store, as_json: bool) -> int:
    """Go back to the last checkpoint of THREAD that is not damaged, and list what was left out.

    Damaged checkpoints that are newer than it are deleted; what its tasks had written and is damaged is made again.
    With --dry-run it exits with 6 where there is damage.
    """
    with Runner(store.url, **store.access) as runner:
        runner.threads.check_stored(thread)
        found = runner.saver.verify(thread)
        question = f"go back to the last good checkpoint of thread {thread!r}, which has {_counted(found)}"
        done = bool(found) and not dry_run and confirm(question, yes=yes, as_json=as_json)
        if done:
            found = runner.saver.repair(thread)
        left = runner.saver.verify(thread) if done else found
    if as_json:
        write_json({"thread_id": thread, "dry_run": dry_run, "damage": _facts(found), "left": _facts(left)})
    else:
        _print_damage(found)
        click.echo(_result(thread, found, left, done=done), err=True)
    return ExitCode.DAMAGED if left else ExitCode.OK


def _result(thread: str, found: Sequence[StorageCorrupt], left: Sequence[StorageCorrupt], *, done: bool) -> str:
    if not found:
        return f"thread {thread!r} is not damaged; nothing was changed"
    if not done:
        return f"thread {thread!r} has {_counted(found)}; nothing was changed"
    old, beside = [one for one in left if one.checkpoint_id], [one for one in left if not one.checkpoint_id]
    older = f"; {_counted(old)} in older checkpoints stay, which are left out of its history" if old else ""
    if len(beside) == len(found):
        return f"thread {thread!r} has {_counted(beside)} that no repair mends: restore the database from a copy"
    other = f"; {_counted(beside)} outside of checkpoints stay: restore the database from a copy" if beside else ""
    return f"thread {thread!r} was repaired, and can be resumed; {_counted(found)} found{older}{other}"


def _counted(faults: Sequence[StorageCorrupt]) -> str:
    return "1 fault" if len(faults) == 1 else f"{len(faults):,} faults"


def _print_damage(faults: Sequence[StorageCorrupt]) -> None:
    if faults:
        rows = [(one.thread_id or "", one.checkpoint_id or "", one.column or "", _reason(one)) for one in faults]
        print_table(("thread", "checkpoint", "damaged", "reason"), rows)


def _reason(fault: StorageCorrupt) -> str:
    return str(fault).partition(f"{fault.column!r}: ")[2].partition("; SQLSaver")[0].partition("; restore")[0]


def _facts(faults: Sequence[StorageCorrupt]) -> list[dict[str, Any]]:
    return [{"checkpoint_id": one.checkpoint_id, "damaged": one.column, "reason": _reason(one)} for one in faults]
