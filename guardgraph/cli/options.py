"""Options that several commands share."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from functools import wraps
from pathlib import Path
from typing import Any

import click

from guardgraph.runs.default_database import DEFAULT_URL, with_folder
from guardgraph.state import BadInput, new_id

__all__ = (
    "Store",
    "age_of",
    "database",
    "database_url",
    "given_key_file",
    "json_option",
    "key_file",
    "seconds_of",
    "tenant_option",
    "thread_of",
    "url_of",
    "usd_of",
)

_KEY_FILE = "guardgraph.key_file"
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}

database_url = click.option(
    "--db",
    envvar="GUARDGRAPH_DB",
    metavar="URL",
    help=f"Database of the runs; else GUARDGRAPH_DB, else {DEFAULT_URL}.",
)
"""Lets a command take `--db URL`, as `db`."""
key_file = click.option(
    "--key-file",
    "key",
    metavar="FILE",
    callback=lambda context, _, path: _key_of(context, path),
    help="File with the key of an encrypted database, in base64; else the key is that of GUARDGRAPH_KEY.",
)
"""Lets a command take `--key-file FILE`, as `key`: the key itself, which is never an argument that others could see."""
tenant_option = click.option(
    "--tenant",
    envvar="GUARDGRAPH_TENANT",
    default=None,
    metavar="ID",
    help="Whose threads they are; else GUARDGRAPH_TENANT.",
)
"""Lets a command take `--tenant ID`, as `tenant`."""
json_option = click.option("--json", "as_json", is_flag=True, help="Write JSON to stdout, and nothing else anywhere.")
"""Lets a command take `--json`, as `as_json`."""


def age_of(option: str, text: str | None) -> timedelta | None:
    """Return the time of an option, such as 90m, 12h, 30d or 8w. Raises `BadInput` for anything else."""
    if text is None:
        return None
    found = re.fullmatch(r"(\d{1,6})([mhdw])", text.strip())
    if found is None:
        raise BadInput(
            f"{option} must be a number of minutes, hours, days or weeks such as 90m, 12h, 30d, 8w; got {text!r}"
        )
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


@dataclass(frozen=True, slots=True)
class Store:
    """Where the threads of a command are."""

    db: str | None
    """The database as it was given; `None` is the default."""
    tenant: str | None
    key: str | None = field(repr=False)

    @property
    def url(self) -> str:
        """The database. Raises as `url_of` does."""
        return url_of(self.db)

    @property
    def access(self) -> dict[str, Any]:
        """The other arguments of a `Runner`."""
        return {"tenant": self.tenant, "key": self.key}

    @property
    def whose(self) -> str:
        """Whose data a command has looked at, at the end of a message that there is none."""
        return (
            f"of tenant {self.tenant!r}" if self.tenant else "of runs without a tenant; `--tenant ID` shows another's"
        )


def database(command: Callable[..., Any]) -> Callable[..., Any]:
    """Let a command take `--db URL`, `--tenant ID` and `--key-file FILE`, together as `store`."""

    @wraps(command)
    def with_store(*args: Any, db: str | None, tenant: str | None, key: str | None, **given: Any) -> Any:
        return command(*args, store=Store(db, tenant, key), **given)

    return database_url(tenant_option(key_file(with_store)))


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


def usd_of(option: str, text: str | None, *, may_be_zero: bool = False) -> Decimal | None:
    """Return the US dollars of an option. Raises `BadInput` for anything but a positive amount, or zero."""
    try:
        usd = None if text is None else Decimal(text.removeprefix("$"))
    except InvalidOperation:
        raise BadInput(f"{option} must be an amount of US dollars such as 2.00, got {text!r}") from None
    if usd is not None and not (usd.is_finite() and 0 <= usd <= 1_000_000_000 and (usd or may_be_zero)):
        bound = "from 0 to" if may_be_zero else "more than 0 and at most"
        raise BadInput(f"{option} must be {bound} 1,000,000,000 US dollars, got {text!r}")
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


def given_key_file() -> str | None:
    """Return the key file that the command was given, to be shown in a command that goes on."""
    context = click.get_current_context(silent=True)
    return None if context is None else context.meta.get(_KEY_FILE)


def _key_of(context: click.Context, path: str | None) -> str | None:
    """Return the key in a file, or else that of the environment."""
    context.meta[_KEY_FILE] = path
    if path is None:
        return os.environ.get("GUARDGRAPH_KEY", "").strip() or None
    try:
        found = Path(path).read_text(encoding="ascii").strip()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        raise BadInput(f"cannot read the key file {path!r}: {why}; it holds the base64 of 16, 24 or 32 bytes") from None
    if not found:
        raise BadInput(f"the key file {path!r} is empty; it holds the base64 of 16, 24 or 32 bytes")
    return found
