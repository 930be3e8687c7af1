"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any

import click

from guardgraph.runs.default_database import DEFAULT_URL, with_folder
from guardgraph.state import BadInput, new_id
from guardgraph.storage.sql.places import DEFAULT_TENANT

__all__ = ("database", "database_url", "json_option", "seconds_of", "tenant_option", "thread_of", "url_of", "usd_of")

database_url = click.option(
    "--db",
    envvar="GUARDGRAPH_DB",
    metavar="URL",
    help=f"Database of the runs; else GUARDGRAPH_DB, else {DEFAULT_URL}.",
)
"""Lets a command take `--db URL`, as `db`."""
tenant_option = click.option(
    "--tenant",
    envvar="GUARDGRAPH_TENANT",
    default=DEFAULT_TENANT,
    metavar="ID",
    help="Whose threads they are; else GUARDGRAPH_TENANT.",
)
"""Lets a command take `--tenant ID`, as `tenant`."""
json_option = click.option("--json", "as_json", is_flag=True, help="Write JSON to stdout, and nothing else anywhere.")
"""Lets a command take `--json`, as `as_json`."""


def database(command: Callable[..., Any]) -> Callable[..., Any]:
    """Let a command take `--db URL` and `--tenant ID`, as `db` and `tenant`: both are needed to find a thread."""
    return database_url(tenant_option(command))


def seconds_of(deadline: float | None) -> float | None:
    """Return the seconds of `--deadline`. Raises `BadInput` if it is not positive, or too large."""
    if deadline is not None and not 0 < deadline <= 1_000_000_000:
        raise BadInput(f"--deadline must be more than 0 seconds and at most 1,000,000,000, got {deadline:g}")
    return deadline


def thread_of(name: str | None) -> str:
    """Return the thread to work on, a new one if none is named. Raises `BadInput` for an empty name."""
    if name is not None and not name.strip():
        raise BadInput("the name of the thread is empty; leave --thread out, or name it")
    return name or new_id()


def usd_of(option: str, text: str | None) -> Decimal | None:
    """Return the US dollars of an option. Raises `BadInput` for anything but a positive amount."""
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
    if db is not None and not db.strip():
        raise BadInput(f"--db is empty; leave it out for {DEFAULT_URL}, or name a database")
    return with_folder(db or DEFAULT_URL)
