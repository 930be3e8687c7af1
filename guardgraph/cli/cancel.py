"""`guardgraph cancel`: end a run."""

from __future__ import annotations

import click

from guardgraph.cli.exit_code import ExitCode
from guardgraph.cli.graph_loader import builder_of
from guardgraph.cli.options import Store, database, json_option
from guardgraph.cli.run_with_progress import write_run
from guardgraph.runs.runner import Runner

__all__ = ("cancel_command",)


@click.command(
    "cancel",
    short_help="End a run with what it has.",
    epilog="\b\nExample:\n  guardgraph cancel monday --reason 'not needed any more'",
)
@click.argument("thread")
@click.option("--reason", default="cancelled by the command", show_default=True, metavar="TEXT", help="Why.")
@database
@json_option
def cancel_command(thread: str, *, reason: str, store: Store, as_json: bool) -> int:
    """End the last run of THREAD: its accepted results are the answer, all else is missing.

    The guards of its exit judge that answer; where its graph cannot be built any more, there is none.

    Where a process works on it, that stops first: its agents at work finish.
    """
    with Runner(store.url, **store.access) as reader:
        graphs = builder_of(reader.status(thread).graph)
    with Runner(store.url, **store.access, graphs=graphs) as runner:
        run = runner.cancel(thread, reason=reason)
    write_run(run, store=store, as_json=as_json)
    return ExitCode.OK
