"""`guardgraph doctor`: the state of the installation, the database and the keys."""

from __future__ import annotations

import os
import platform
import sys
from contextlib import ExitStack
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any

import click

from guardgraph.cli.exit_code import ExitCode
from guardgraph.cli.options import database_url, json_option, url_of
from guardgraph.cli.output import write_json
from guardgraph.state import GuardgraphError
from guardgraph.storage.sql.engine import engine_of, write_transaction
from guardgraph.storage.sql.migrate import migrate

__all__ = ("doctor_command",)

_PACKAGES = (
    "guardgraph",
    "alembic",
    "click",
    "genai-prices",
    "langchain-core",
    "langgraph",
    "langgraph-checkpoint",
    "langsmith",
    "orjson",
    "ormsgpack",
    "pydantic",
    "pydantic-core",
    "pypdf",
    "pyyaml",
    "rich",
    "sqlalchemy",
    "typing_extensions",
    "xxhash",
)
_EXTRAS = {
    "agents": "langchain",
    "draw": "quickjs",
    "encryption": "cryptography",
    "mysql": "pymysql",
    "postgres": "psycopg",
    "routing": "sklearn",
}
_KEYS = (
    "ANTHROPIC_API_KEY",
    "AZURE_OPENAI_API_KEY",
    "GOOGLE_API_KEY",
    "GUARDGRAPH_KEY",
    "MISTRAL_API_KEY",
    "OPENAI_API_KEY",
)


@click.command(
    "doctor",
    short_help="Check the installation, the database and the keys.",
    epilog="\b\nExample:\n  guardgraph doctor --db postgresql://user@host/runs",
)
@database_url
@json_option
def doctor_command(*, db: str | None, as_json: bool) -> int:
    """Show what is installed, whether the database can be written, and which keys are set (never their values)."""
    found = _found(db)
    if as_json:
        write_json(found)
    else:
        for name, value in _lines(found):
            click.echo(f"{name:<24} {value}")
    return ExitCode.OK if found["ok"] else ExitCode.BAD_INPUT


def _found(db: str | None) -> dict[str, Any]:
    packages = {name: _version(name) for name in _PACKAGES}
    database = _database(db)
    return {
        "ok": None not in packages.values() and database["error"] is None,
        "python": platform.python_version(),
        "platform": sys.platform,
        "packages": packages,
        "extras": {extra: find_spec(package) is not None for extra, package in _EXTRAS.items()},
        "database": database,
        "keys": {name: bool(os.environ.get(name)) for name in _KEYS},
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _database(db: str | None) -> dict[str, Any]:
    """Open the database, migrate it to this version's schema, and take its write lock once."""
    url = None
    try:
        with ExitStack() as stack:
            engine = engine_of(url_of(db))
            stack.callback(engine.dispose)
            url = engine.url.render_as_string(hide_password=True)
            migrate(engine)
            stack.enter_context(write_transaction(engine))
    except GuardgraphError as error:
        return {"url": url, "error": str(error)}
    return {"url": url, "error": None}


def _lines(found: dict[str, Any]) -> list[tuple[str, str]]:
    database = found["database"]
    return [
        ("python", f"{found['python']} ({found['platform']})"),
        *((name, held or "MISSING") for name, held in found["packages"].items()),
        *((f"extra {name}", "installed" if held else "not installed") for name, held in found["extras"].items()),
        ("database", database["error"] or f"writable ({database['url']})"),
        *((name, "set" if held else "not set") for name, held in found["keys"].items()),
    ]
