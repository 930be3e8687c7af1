"""Writing answers, runs and JSON."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Generator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from pydantic import JsonValue

from guardgraph.state import BadInput, has_log, to_json

if TYPE_CHECKING:
    from guardgraph.runs.run import Run

__all__ = ("check_file", "prints_to_stderr", "run_as_json", "value_as_text", "write_file", "write_json")

_PARKED = 20
"""How many parked deliveries are named."""


@contextmanager
def prints_to_stderr() -> Generator[None]:
    """Send what the user's own code prints to stderr: stdout is for the answer alone."""
    with redirect_stdout(sys.stderr):
        yield


def write_json(data: Any) -> None:
    """Write data as one JSON document, in ASCII."""
    click.echo(json.dumps(to_json(data), indent=2, ensure_ascii=True, default=str))


def check_file(path: Path) -> None:
    """Raise `BadInput` if the file cannot be written, before anything is spent on its content."""
    folder, advice = path.absolute().parent, "name another file with --out"
    if path.is_dir():
        raise BadInput(f"{str(path)!r} is a folder; {advice}")
    if not folder.is_dir():
        raise BadInput(f"the folder of {str(path)!r} does not exist; make it, or {advice}")
    if not os.access(path if path.exists() else folder, os.W_OK):
        raise BadInput(f"{str(path)!r} may not be written; change its permissions, or {advice}")


def write_file(path: Path, text: str) -> None:
    """Write `text` into a file. Raises `BadInput` where that cannot be done."""
    try:
        path.write_text(text, encoding="utf-8", errors="replace")
    except OSError as error:
        raise BadInput(f"cannot write {str(path)!r}: {error.strerror}; name another file with --out") from error


def value_as_text(value: JsonValue) -> str:
    """Return an answer for a reader: its `report`, or a text as it is, or else JSON."""
    text = value.get("report") if isinstance(value, dict) else value
    return text if isinstance(text, str) else json.dumps(value, indent=2, ensure_ascii=False)


def run_as_json(run: Run) -> dict[str, Any]:
    """Return a run as plain JSON data; with `parked` where its outermost team is reactive."""
    facts: dict[str, Any] = {
        "thread_id": run.thread_id,
        "run_id": run.run_id,
        "graph": run.graph,
        "status": run.status,
        "outcome": to_json(run.outcome),
        "usage": {**to_json(run.usage), "tokens": run.usage.tokens, "seconds": run.usage.seconds},
        "results": to_json(list(run.results)),
        "waiting": [{"id": wait.id, "value": to_json(wait.value)} for wait in run.waiting],
    }
    if has_log(run.state):
        parked = run.parked
        first = [one.model_dump(include={"event", "subscriber", "error"}) for one in parked[:_PARKED]]
        facts["parked"] = {"count": len(parked), "first": first}
    return facts
