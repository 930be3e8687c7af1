"""The boards of a team: in the code of its agents, and as tools of its models."""

from __future__ import annotations

import json
import re
from typing import Annotated, Any, Literal

from langchain_core.tools import BaseTool, StructuredTool
from pydantic import Field

from guardgraph.runtime.boards.view import BoardView
from guardgraph.runtime.execution_context import execution_context
from guardgraph.state import BadInput, BoardConflict, BoardDenied, BoardEntry
from guardgraph.storage.sql.boards import SQLBoards
from guardgraph.storage.sql.checkpoints.saver import SQLSaver

__all__ = ("board_tools", "current", "stored")

_MOST = 100
"""Entries that one call of a tool shows."""

_ROOM = 50_000
"""Characters of values that one call of a tool shows."""
_TOOL_NAME = re.compile("[A-Za-z_][A-Za-z0-9_]{0,57}")
"""What providers of models take behind `read_` and `write_`: names of tools have 64 characters at most."""

_Key = Annotated[str, Field(description="The key of the entry, as it is listed.")]
_Prefix = Annotated[str, Field(description="Only entries whose keys begin with this; empty for all.")]
_Value = Annotated[Any, Field(description="The new value: a text, a number, a list or an object.")]
_Expected = Annotated[
    int, Field(description="The version that you have read and replace; 0 for an entry that does not exist yet.", ge=0)
]
_Kind = Annotated[
    Literal["decision", "constraint", "note"],
    Field(description="A decision or constraint is shown to everyone with each request; a note to who reads it."),
]


def current(name: str | None = None) -> BoardView:
    """Return a board of the team whose agent calls this, or of a team above; by default the innermost one.

    What it writes has that agent as its author, and is bounded by its grants.

    Raises:
        BadInput: no agent of a team calls this, or no team here has a board of that name.
    """
    execution = execution_context(None)
    if execution is None or execution.position is None:
        raise BadInput("no agent is at work here; outside of agents use Runner.board(name)")
    if execution.boards is None or not execution.boards.grants:
        raise BadInput("no team here has a board; give it one where it is built: board=Board('plan', write={…})")
    return execution.boards.view(name)


def board_tools(name: str | None = None) -> list[BaseTool]:
    """Return tools with which a model agent reads a board and writes it: `read_board` and `write_board`.

    A write names the version that it replaces. Conflicts, refusals and values that do not fit are answers to the model,
    which may try again. With a `name` the tools are called `read_<name>` and `write_<name>`, if that has at most 58
    ASCII letters, digits and underscores, as the names of tools have. A call shows 100 entries with 50,000 characters.
    """
    suffix = name if name is not None and _TOOL_NAME.fullmatch(name) else "board"

    def read(prefix: _Prefix = "") -> str:
        return _listed(current(name).entries(prefix))

    async def aread(prefix: _Prefix = "") -> str:
        return _listed(await current(name).aentries(prefix))

    def write(key: _Key, value: _Value, expected_version: _Expected, kind: _Kind = "note") -> str:
        try:
            return _written(current(name).put(key, value, expect=expected_version, kind=kind))
        except (BoardConflict, BoardDenied, BadInput) as error:
            return _refused(error)

    async def awrite(key: _Key, value: _Value, expected_version: _Expected, kind: _Kind = "note") -> str:
        try:
            return _written(await current(name).aput(key, value, expect=expected_version, kind=kind))
        except (BoardConflict, BoardDenied, BadInput) as error:
            return _refused(error)

    reads = "Read the board that the team shares: its entries with their versions."
    writes = "Write an entry of the board that the team shares. Read it first: a write names the version it replaces."
    return [
        StructuredTool.from_function(read, aread, name=f"read_{suffix}", description=reads),
        StructuredTool.from_function(write, awrite, name=f"write_{suffix}", description=writes),
    ]


def stored(saver: SQLSaver, *, thread_id: str | None = None) -> list[str]:
    """Return the names of the boards of a thread, or of those that all threads share, sorted."""
    return SQLBoards(saver.engine, tenant=saver.tenant, codec=saver.codec).names(thread_id)


def _listed(entries: list[BoardEntry]) -> str:
    """Return entries as text for a model, one a line."""
    lines, room = list[str](), _ROOM
    for entry in entries[:_MOST]:
        size = len(json.dumps(entry.value, ensure_ascii=False))
        fits = size <= room
        left_out = f"left out: {size} characters are too many to be shown; read it alone, by its key as prefix"
        lines.append(json.dumps(_facts(entry) if fits else {**_facts(entry), "value": left_out}, ensure_ascii=False))
        room -= size if fits else 0
    more = [f"… and {len(entries) - _MOST} more; read them by a longer prefix"] if len(entries) > _MOST else []
    return "\n".join([*lines, *more]) or "there are no entries"


def _written(entry: BoardEntry) -> str:
    return f"written: {entry.key!r} is at version {entry.version}"


def _refused(error: BoardConflict | BoardDenied | BadInput) -> str:
    """Return an error as an answer for a model, with the entry that is there where it is a conflict."""
    found = error.current if isinstance(error, BoardConflict) else None
    entry = "" if found is None else f"\nIt is now: {json.dumps(_facts(found), ensure_ascii=False)}"
    return f"not written: {error}{entry}"


def _facts(entry: BoardEntry) -> dict[str, Any]:
    return {
        "key": entry.key,
        "value": entry.value,
        "kind": entry.kind,
        "version": entry.version,
        "author": entry.author,
        **({"is_deleted": True} if entry.is_deleted else {}),
    }
