"""One version of an entry on a board, and the checks of what is written there."""

from __future__ import annotations

import json
from typing import Any, Literal, get_args

from pydantic import AwareDatetime, Field, JsonValue

from guardgraph.state.errors import BadInput
from guardgraph.state.frozen_model import FrozenModel, to_json

__all__ = (
    "BoardEntry",
    "BoardKind",
    "board_value",
    "checked_author",
    "checked_board",
    "checked_key",
    "checked_kind",
    "checked_version",
)

BoardKind = Literal["decision", "constraint", "note"]
"""Decisions and constraints are part of every request of the team; a note is read by whoever looks for it."""

_LONGEST_NAME, _LONGEST_KEY = 100, 200
_LONGEST_AUTHOR = 1_000
_LARGEST = 1_000_000
"""Bytes of a value as JSON."""
_HIGHEST = 2**63 - 1
"""The highest number that every database holds."""


class BoardEntry(FrozenModel):
    """One version of an entry on a board; it never changes, the next write makes another version."""

    board: str
    """The name of the board."""
    key: str
    """Its name on the board, of 1 to 200 characters."""
    value: JsonValue = None
    """The content, of at most a million bytes as JSON; `None` where it was deleted."""
    kind: BoardKind = "note"
    """What it is."""
    version: int = Field(ge=1)
    """Its number among the versions of this key, from 1 without gaps."""
    number: int = Field(ge=1)
    """Its position among all changes of the board, from 1 without gaps, in the order of their commits."""
    author: str
    """The agent that has written it, below the agents of the teams above (`lead/worker`), or whoever did outside."""
    at: AwareDatetime
    """When, by the clock of the process that has written it."""
    run_id: str | None = None
    """The run in which it was written; `None` outside of runs."""
    is_deleted: bool = False
    """Whether this version deletes the entry."""


def checked_board(name: object) -> str:
    """Return the name of a board. Raises `BadInput` unless it is a text of 1 to 100 characters."""
    if not isinstance(name, str) or not name.strip() or len(name) > _LONGEST_NAME:
        raise BadInput(f"the name of a board must be a text of 1 to {_LONGEST_NAME} characters, got {name!r:.120}")
    return _unicode("the name of a board", name)


def checked_key(key: object) -> str:
    """Return the key of an entry. Raises `BadInput` unless it is a text of 1 to 200 characters."""
    if not isinstance(key, str) or not 0 < len(key) <= _LONGEST_KEY:
        raise BadInput(f"the key of a board's entry must be a text of 1 to {_LONGEST_KEY} characters, got {key!r:.80}")
    return _unicode("the key of a board's entry", key)


def checked_author(author: object) -> str:
    """Return the name of a person who uses a board, empty for reading alone. Raises `BadInput` for what is none."""
    if not isinstance(author, str) or len(author) > _LONGEST_AUTHOR:
        raise BadInput(f"`author` must be a text of at most {_LONGEST_AUTHOR} characters, got {author!r:.80}")
    return _unicode("`author`", author)


def checked_kind(kind: Any) -> BoardKind | None:
    """Return the kind of an entry, `None` for the one that it has. Raises `BadInput` for anything else."""
    if kind is not None and kind not in get_args(BoardKind):
        raise BadInput(f"`kind` must be one of {', '.join(map(repr, get_args(BoardKind)))}, got {kind!r:.80}")
    return kind


def checked_version(version: object, name: str = "expect") -> int | None:
    """Return the number of a version, `None` for any. Raises `BadInput` for what is none."""
    if version is not None and (
        not isinstance(version, int) or isinstance(version, bool) or not 0 <= version <= _HIGHEST
    ):
        raise BadInput(f"`{name}` must be the number of a version, 0 where there is none yet, got {version!r:.80}")
    return version


def board_value(value: object) -> str:
    """Return a value as JSON text. Raises `BadInput` for what has no JSON form, or is larger than a million bytes."""
    try:
        text = json.dumps(to_json(value), allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise BadInput(f"the value of a board's entry must be JSON data: {error}") from error
    if "\\ud" in text and not _is_unicode(json.dumps(json.loads(text), ensure_ascii=False)):
        raise BadInput("the value of a board's entry must be JSON data: it is not valid Unicode text")
    if len(text) > _LARGEST:
        raise BadInput(
            f"the value of a board's entry has {len(text)} bytes as JSON, at most {_LARGEST} are stored; write where "
            "it is to be found, or split it"
        )
    return text


def _unicode(what: str, text: str) -> str:
    if not _is_unicode(text):
        raise BadInput(f"{what} is not valid Unicode text: {text!a:.80}")
    return str(text)


def _is_unicode(text: str) -> bool:
    """Return whether a text holds no half of a surrogate pair, which no model and no file takes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
