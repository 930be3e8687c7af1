"""`guardgraph threads import`: threads of LangGraph's own savers."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict

import click

from guardgraph.cli.exit_code import ExitCode
from guardgraph.cli.graph_loader import class_at
from guardgraph.cli.options import json_option, key_file, tenant_option, url_of
from guardgraph.cli.output import write_json
from guardgraph.runs.default_database import DEFAULT_URL
from guardgraph.storage import ImportedThread, SQLSaver, import_threads

__all__ = ("import_command",)

_SECONDS = 2.0
"""How often a long thread is reported."""


@click.command(
    "import",
    short_help="Import threads of LangGraph's own savers.",
    epilog="\b\nExample:\n  guardgraph threads import sqlite:///old.db --dry-run",
)
@click.argument("url")
@click.option("--thread", "threads", multiple=True, metavar="T", help="Only this thread; can be repeated.")
@click.option(
    "--type",
    "types",
    multiple=True,
    metavar="MODULE:CLASS",
    help="A class of your own that the threads hold; can be repeated.",
)
@click.option(
    "--into",
    envvar="GUARDGRAPH_DB",
    metavar="DB",
    help=f"URL of the database that they go to; else GUARDGRAPH_DB, else {DEFAULT_URL}.",
)
@click.option("--dry-run", is_flag=True, help="Read and check the threads, and import none.")
@tenant_option
@key_file
@json_option
def import_command(
    url: str,
    *,
    threads: tuple[str, ...],
    types: tuple[str, ...],
    into: str | None,
    dry_run: bool,
    tenant: str | None,
    key: str | None,
    as_json: bool,
) -> ExitCode:
    """Import the threads that SqliteSaver or PostgresSaver has stored at URL, such as sqlite:///old.db.

    All of a thread is imported, or nothing of it. What was imported before is left as it is, so an import can be
    repeated. The exit code is 1 where a thread is refused.
    """
    found: list[ImportedThread] = []
    refused, is_unregistered = 0, False
    with SQLSaver.from_url(url_of(into), types=tuple(map(class_at, types)), tenant=tenant, key=key) as saver:
        on_progress = None if as_json else _progress()
        for one in import_threads(url, saver, threads=threads or None, dry_run=dry_run, on_progress=on_progress):
            refused += one.result == "refused"
            is_unregistered |= any("register it" in fault.reason for fault in one.faults)
            if as_json:
                found.append(one)
            else:
                _print(one)
    if as_json:
        write_json([asdict(one) for one in found])
    elif is_unregistered:
        click.echo("a class of your own is registered by --type MODULE:CLASS", err=True)
    return ExitCode.ERROR if refused else ExitCode.OK


def _progress() -> Callable[[str, int], None]:
    """Return what reports on stderr how far a long thread is, now and then."""
    last = time.monotonic()

    def report(thread_id: str, checkpoints: int) -> None:
        nonlocal last
        if time.monotonic() - last >= _SECONDS:
            last = time.monotonic()
            click.echo(f"{thread_id}: {checkpoints:,} checkpoints read", err=True)

    return report


def _print(one: ImportedThread) -> None:
    size = f" ({one.checkpoints} checkpoints, {one.writes} writes)" if one.checkpoints else ""
    click.echo(f"{one.result}\t{one.thread_id}{size}")
    for fault in one.faults:
        where = f"checkpoint {fault.checkpoint_id}: " if fault.checkpoint_id else ""
        click.echo(f"  {where}{fault.reason}", err=True)
