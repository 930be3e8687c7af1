"""What several commands take."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any, TypeVar

import click

from guardgraph.runs.default_database import DEFAULT_URL, with_folder
from guardgraph.state import BadInput, new_id

__all__ = ("database", "json_option", "seconds_of", "thread_of", "url_of", "usd_of")

_Command = TypeVar("_Command", bound=Callable[..., Any])

_database = click.option(
    "--db",
    envvar="GUARDGRAPH_DB",
    metavar="URL",
    help=f"Database of the runs; else GUARDGRAPH_DB, else {DEFAULT_URL}.",
)
_json = click.option("--json", "as_json", is_flag=True, help="Write JSON to stdout, and nothing else anywhere.")


def database(command: _Command) -> _Command:
    """Let a command take `--db URL`, as `db`."""
    return _database(command)


def json_option(command: _Command) -> _Command:
    """Let a command take `--json`, as `as_json`."""
    return _json(command)


def seconds_of(deadline: float | None) -> float | None:
    """Return the seconds of `--deadline`. Raises `BadInput` for what is no time to work in."""
    if deadline is not None and not 0 < deadline <= 1_000_000_000:
        raise BadInput(f"--deadline must be more than 0 seconds and at most 1,000,000,000, got {deadline:g}")
    return deadline


def thread_of(name: str | None) -> str:
    """Return the thread to work on, a new one if none is named. Raises `BadInput` for an empty name."""
    if name is not None and not name.strip():
        raise BadInput("the name of the thread is empty; leave --thread out, or name it")
    return name or new_id()


def usd_of(option: str, text: str | None) -> Decimal | None:
    """Return the US dollars that an option names. Raises `BadInput` for what is no amount to spend."""
    try:
        usd = None if text is None else Decimal(text.removeprefix("$"))
    except InvalidOperation:
        raise BadInput(f"{option} must be an amount of US dollars such as 2.00, got {text!r}") from None
    if usd is not None and not (usd.is_finite() and 0 < usd <= 1_000_000_000):
        raise BadInput(f"{option} must be more than 0 and at most 1,000,000,000 US dollars, got {text!r}")
    return usd


def url_of(db: str | None) -> str:
    """Return the database to use; the folder of the default one is made.

    Raises:
        BadInput: `db` is empty.
        StorageUnavailable: the folder cannot be made.
    """
    if db is not None:
        if not db.strip():
            raise BadInput(f"--db is empty; leave it out for {DEFAULT_URL}, or name a database")
        return db
    return with_folder(DEFAULT_URL)
