"""Running a thread with progress, Ctrl-C and the output at the end."""

from __future__ import annotations

import json
import logging
import os
import shlex
import signal
import threading
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Never

import click
from rich.console import Console
from rich.control import Control
from sqlalchemy import make_url

from guardgraph.cli.exit_code import ExitCode, code_of_run
from guardgraph.cli.graph_loader import builder_of
from guardgraph.cli.options import Store, given_key_file
from guardgraph.cli.output import check_file, prints_to_stderr, run_as_json, value_as_text, write_file, write_json
from guardgraph.cli.progress import watching
from guardgraph.runs.event_wait import event_that_ends
from guardgraph.runs.run import Run
from guardgraph.runs.runner import Runner
from guardgraph.state import printable
from guardgraph.storage.sql.ledger.sql_ledger import SQLLedger

__all__ = ("command_line", "run_with_progress", "write_run")

_PATIENCE = 1.0
"""Seconds in which cancelled agents are expected to end."""


def run_with_progress(
    work: Callable[[Runner], Run],
    thread: str,
    store: Store,
    *,
    graphs: dict[str, Callable[..., Any]],
    as_json: bool,
    out: Path | None = None,
    finished: int = 0,
    wait: float = 0.0,
    facts: Mapping[str, Any] | None = None,
) -> int:
    """Do `work` on `thread` with a runner on `store`, show its progress, write the run, and return the exit code.

    `finished` is how many of the run's agents have finished before, `facts` are more of the JSON. Where another process
    works on the thread, that is refused after `wait` seconds.

    The first Ctrl-C lets the agents at work finish; a second one ends the process at once, and their work is lost.
    """
    if out is not None:
        check_file(out)
    screen = Console(stderr=True, quiet=as_json)
    with (
        watching(
            lambda account: SQLLedger(runner.saver.engine, tenant=runner.saver.tenant).balances(account),
            thread=thread,
            quiet=as_json,
            console=screen,
            finished=finished,
        ) as on_event,
        Runner(store.url, **store.access, graphs=graphs, on_event=on_event, **_patience(wait)) as runner,
        _draining(
            runner, screen, f"stopped by Ctrl-C; go on with: {command_line('resume', thread, store)}", as_json=as_json
        ),
        _unlogged(quiet=as_json),
        prints_to_stderr(),
    ):
        run = work(runner)
    return write_run(run, store=store, as_json=as_json, out=out, facts=facts)


def _patience(wait: float) -> dict[str, Any]:
    """Return the options by which a runner waits so long for a thread that another process works on."""
    return {"if_busy": "wait", "wait_seconds": wait} if wait else {}


def write_run(
    run: Run, *, store: Store, as_json: bool, out: Path | None = None, facts: Mapping[str, Any] | None = None
) -> int:
    """Write a run and return its exit code: the answer on stdout (or in a file), a summary on stderr."""
    value = run.outcome.value if run.outcome else None
    if out is not None and value is not None:
        write_file(out, value_as_text(value))
    if as_json:
        write_json({**run_as_json(run), **(facts or {})})
        return code_of_run(run)
    if value is not None and out is None:
        click.echo(printable(value_as_text(value)))
    summary = (line for line in str(run).splitlines() if not line.startswith("value: "))
    click.echo(printable("\n".join(summary)), err=True)
    for one in run.parked[:1]:
        click.echo(f"deliver again with: {command_line('threads replay', run.thread_id, store, one.event)}", err=True)
    for wait in run.waiting:
        event = event_that_ends(wait.value)
        answer = shlex.quote(f"{wait.id}={'…' if event is None else json.dumps(event)}")
        click.echo(f"answer with: {command_line('resume', run.thread_id, store)} --answer {answer}", err=True)
    if run.status in ("stopped", "crashed"):
        by_command = bool(builder_of(run.graph))
        how = (
            command_line("resume", run.thread_id, store)
            if by_command
            else f"the Runner that has the graph {run.graph!r}"
        )
        click.echo(f"not finished; go on with: {how}", err=True)
    return code_of_run(run)


def command_line(command: str, thread_id: str, store: Store, *arguments: str) -> str:
    """Return a command on a thread with more arguments; a password of the database is left out."""
    where = f" --db {shlex.quote(make_url(store.db).render_as_string(hide_password=True))}" if store.db else ""
    where += f" --tenant {shlex.quote(store.tenant)}" if store.tenant else ""
    where += f" --key-file {shlex.quote(path)}" if (path := given_key_file()) else ""
    more = [*(["--"] if any(one.startswith("-") for one in arguments) else []), *map(shlex.quote, arguments)]
    return " ".join([f"guardgraph {command} {shlex.quote(thread_id)}{where}", *more])


@contextmanager
def _draining(runner: Runner, screen: Console, message: str, *, as_json: bool) -> Generator[None]:
    """Let the first Ctrl-C drain the runner, and the second one end the process."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def drain(_number: int, _frame: FrameType | None) -> None:
        if not runner.drain():
            raise KeyboardInterrupt  # no agent has begun
        signal.signal(signal.SIGINT, end)
        screen.print("stopping when the agents at work are done; Ctrl-C again stops at once", soft_wrap=True)

    def end(_number: int, _frame: FrameType | None) -> None:
        leaves = threading.Thread(target=_leave, args=(runner,), daemon=True)  # this one may hold a lock
        leaves.start()
        leaves.join(2 * _PATIENCE)
        _end(message, as_json=as_json, is_terminal=screen.is_terminal)

    before = signal.signal(signal.SIGINT, drain)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _leave(runner: Runner) -> None:
    """Cancel the agents at work, so that their accounts are closed and finished results are stored."""
    until = time.monotonic() + _PATIENCE
    while runner.drain(at_once=True) and time.monotonic() < until:
        time.sleep(0.02)
    time.sleep(0.1)  # the last writes are under way
    runner.close()


def _end(message: str, *, as_json: bool, is_terminal: bool) -> Never:
    """End the process: nothing else ends agents at work. The database stays as it is.

    The message bypasses Python's streams, to which the interrupted code may be writing.
    """
    if as_json:
        os.write(1, f"{json.dumps({'error': 'Interrupted', 'message': message}, indent=2)}\n".encode())
    else:
        display_ends = f"\n{Control.show_cursor(show=True)}" if is_terminal else ""
        os.write(2, f"{display_ends}guardgraph: {message}\n".encode())
    os._exit(ExitCode.INTERRUPTED)


@contextmanager
def _unlogged(*, quiet: bool) -> Generator[None]:
    """Keep the logs of libraries away from stderr, unless logging is configured."""
    nowhere = logging.NullHandler()
    if quiet:
        logging.root.addHandler(nowhere)
    try:
        yield
    finally:
        logging.root.removeHandler(nowhere)
