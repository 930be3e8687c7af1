"""`guardgraph run`: any graph that can be imported."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from guardgraph.cli.graph_loader import builder_of, graph_at
from guardgraph.cli.options import Store, database, json_option, thread_of
from guardgraph.cli.run_with_progress import run_with_progress
from guardgraph.runs.arguments import checked_input
from guardgraph.state import BadInput

__all__ = ("run_command",)

_LARGEST = 16 * 1024 * 1024


@click.command(
    "run",
    short_help="Run a task through a graph of your own.",
    epilog="\b\nExample:\n  guardgraph run my_teams:vendors --input '\"Compare the three vendors\"'",
)
@click.argument("graph", metavar="MODULE:GRAPH")
@click.option("--input", "given", required=True, metavar="JSON|@FILE", help="The task, or a file that holds it.")
@click.option("--thread", metavar="ID", help="Name of the thread; a random one if none is given.")
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="Write the answer there, not to stdout.")
@database
@json_option
def run_command(graph: str, *, given: str, thread: str | None, out: Path | None, store: Store, as_json: bool) -> int:
    """Run a task through MODULE:GRAPH, which is looked for in the working directory too.

    The task is JSON: a text, the fields of a task, or {"task": …} or {"messages": […]}.
    """
    task, name = _task(given), thread_of(thread)
    graph_at(graph)  # so that a missing graph is an error before anything is stored
    arguments: dict[str, Any] = {"folder": str(Path.cwd())}
    return run_with_progress(
        lambda runner: runner.run(graph, task, thread_id=name, arguments=arguments),
        name,
        store,
        graphs=builder_of(graph),
        as_json=as_json,
        out=out,
    )


def _task(given: str) -> Any:
    """Return the task, given as JSON or in a file. Raises `BadInput` if it does not fit."""
    text, source = (_read(given[1:]), given[1:]) if given.startswith("@") else (given, "--input")
    try:
        task: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        hint = 'write {"task": "what is to be done"}'
        raise BadInput(f"{source} is not JSON: {error}; {hint}") from error
    checked_input(task)
    return task


def _read(name: str) -> str:
    if not name:
        raise BadInput("there is no name after the @ of --input; write @FILE")
    path = Path(name)
    try:
        if path.stat().st_size > _LARGEST:
            raise BadInput(f"{str(path)!r} has more than {_LARGEST:,} bytes; give documents as files, not in the input")
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise BadInput(f"{str(path)!r} cannot be read: {error.strerror}; check the path after @") from error
    except UnicodeDecodeError as error:
        raise BadInput(f"{str(path)!r} is not UTF-8 text (byte {error.start}); save it as UTF-8") from error
