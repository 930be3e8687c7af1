"""`guardgraph resume`: go on after a crash, with an answer, or with more allowance."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from guardgraph.cli.graph_loader import builder_of
from guardgraph.cli.options import Store, database, json_option, seconds_of, usd_of
from guardgraph.cli.run_with_progress import run_with_progress
from guardgraph.runs.run import Run
from guardgraph.runs.runner import Runner
from guardgraph.state import Allowance, BadInput

__all__ = ("resume_command",)


@click.command(
    "resume",
    short_help="Go on after a crash, with an answer, or with more.",
    epilog="\b\nExample:\n  guardgraph resume monday --answer 992bda98fbfd637d7d5dbe2f839cc774=yes",
)
@click.argument("thread")
@click.option(
    "--answer",
    "answers",
    multiple=True,
    metavar="ID=JSON",
    help="An answer to an open question; what is not JSON is a text.",
)
@click.option("--add-tokens", type=click.IntRange(min=1), metavar="N", help="Add tokens to what the run may spend.")
@click.option("--add-usd", metavar="USD", help="Add US dollars to what the run may spend.")
@click.option("--deadline", type=float, metavar="SECONDS", help="Let the run work so long from now, if it had less.")
@click.option(
    "--wait", type=click.FloatRange(min=0), default=0, metavar="SECONDS", help="Wait where another process works on it."
)
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="Write the answer there, not to stdout.")
@database
@json_option
def resume_command(
    thread: str,
    *,
    answers: tuple[str, ...],
    add_tokens: int | None,
    add_usd: str | None,
    deadline: float | None,
    wait: float,
    out: Path | None,
    store: Store,
    as_json: bool,
) -> int:
    """Go on with the last run of THREAD; agents that have finished do not work again.

    A thread of a process that was killed can be resumed half a minute later: --wait 40 waits for that.

    A run that has ended is printed again; it takes no answers and no more allowance.
    """
    given = dict(map(_answer, answers))
    add = _added(add_tokens, add_usd, seconds_of(deadline))
    with Runner(store.url, **store.access) as reader:
        run = reader.status(thread)
    return run_with_progress(
        lambda runner: runner.resume(thread, answers=given or None, add=add),
        thread,
        store,
        graphs=builder_of(run.graph),
        as_json=as_json,
        out=out,
        finished=_finished(run),
        wait=wait,
    )


def _finished(run: Run) -> int:
    """Return how many agents of the outermost team have finished; the agents of nested teams are not counted."""
    return len(run.results) + len(run.state.get("plans") or ()) + (run.state.get("draft") is not None)


def _answer(text: str) -> tuple[str, Any]:
    name, sign, value = text.partition("=")
    if not (name and sign):
        raise BadInput(f"--answer must be ID=JSON, got {text!r}")
    try:
        return name, json.loads(value)
    except (ValueError, RecursionError):
        return name, value  # a plain word needs no quotes


def _added(tokens: int | None, usd: str | None, seconds: float | None) -> Allowance | None:
    if tokens is None and usd is None and seconds is None:
        return None
    money = usd_of("--add-usd", usd)
    until = None if seconds is None else datetime.now(UTC) + timedelta(seconds=seconds)
    return Allowance(tokens=tokens, usd=money, deadline=until)
