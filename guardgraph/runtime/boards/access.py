"""The boards that an attempt sees: that of its team, and those of the teams above."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import partial
from threading import Lock
from typing import Any, NamedTuple

from langchain_core.runnables import RunnableConfig

from guardgraph.runtime.boards.declaration import Board, BoardAction
from guardgraph.runtime.boards.user import BoardUser
from guardgraph.runtime.boards.view import BoardView
from guardgraph.runtime.execution_context import ExecutionContext
from guardgraph.runtime.integrity import IntegrityRecord
from guardgraph.runtime.services import Services
from guardgraph.state import BadInput, BoardEntry, BoardKind, DelegationScope
from guardgraph.storage.boards import BoardPlace

__all__ = ("BoardAccess", "BoardGrant", "access_of")


class BoardGrant(NamedTuple):
    """A board, and the agent of the declaring team for which the code works, perhaps in teams further down."""

    board: Board
    agent: str


class BoardAccess:
    """The boards of one attempt; `grants` are those of the outermost team first."""

    def __init__(
        self,
        services: Services,
        thread_id: str,
        position: DelegationScope,
        grants: tuple[BoardGrant, ...],
        above: BoardAccess | None = None,
        integrity: IntegrityRecord | None = None,
    ) -> None:
        """`above` is the access of the attempt that the team of this one works for; what is read lowers `integrity`."""
        self.grants, self._above = grants, above
        self._services, self._thread_id, self._position = services, thread_id, position
        self._users: dict[BoardPlace, BoardUser] = {}
        self._has_ended, self._lock, self._integrity = False, Lock(), integrity

    @property
    def blocks(self) -> bool:
        """Whether reading or writing may block."""
        return self._services.boards.blocks

    def view(self, name: str | None = None) -> BoardView:
        """Return a board by its name, by default that of the innermost team that has one.

        Raises:
            BadInput: there is none of this name.
        """
        place = next((at for at in reversed(self._places) if name in (None, at.name)), None)
        if place is None:
            known = ", ".join(repr(at.name) for at in self._places)
            raise BadInput(f"no team here has a board {name!r}; there are: {known}")
        return BoardView(self._services.boards, place, self._user(place))

    def entries(self, kinds: Collection[BoardKind]) -> list[BoardEntry]:
        """Return the entries of some kinds that the attempt may read, of all its boards."""
        boards = [(self._services.boards.entries(place, kinds), self._user(place)) for place in self._places]
        return [entry for entries, user in boards for entry in entries if user.may("read", entry.key)]

    def within(
        self, position: DelegationScope, board: Board | None, integrity: IntegrityRecord | None = None
    ) -> BoardAccess:
        """Return the boards of an attempt in a team that works for this one."""
        own = () if board is None else (BoardGrant(board, position.path[-1]),)
        return BoardAccess(self._services, self._thread_id, position, (*self.grants, *own), self, integrity)

    def end(self) -> None:
        """Let the attempt write nothing any more: what it has left running could overwrite a later one."""
        self._has_ended = True

    @property
    def has_ended(self) -> bool:
        """Whether the attempt is over, or one that it works for."""
        return self._has_ended or (self._above is not None and self._above.has_ended)

    @property
    def _places(self) -> list[BoardPlace]:
        """Where its boards are, each once: where the innermost team has declared it."""
        return [*dict.fromkeys(self._place(grant.board) for grant in reversed(self.grants))][::-1]

    def _place(self, board: Board) -> BoardPlace:
        return BoardPlace(None if board.shared else self._thread_id, board.name)

    def _user(self, place: BoardPlace) -> BoardUser:
        """Return the user of a board, the same for the whole attempt, so that its writes are counted."""
        me = self._position
        with self._lock:
            if place not in self._users:
                lacks, author = partial(self._without_grant, place), "/".join(me.path[1:])
                user = BoardUser(
                    place.name,
                    author,
                    me.run_id,
                    me.account,
                    lacks,
                    self._emit,
                    lambda: self.has_ended,
                    self._note_read,
                )
                self._users[place] = user
            return self._users[place]

    def _without_grant(self, place: BoardPlace, action: BoardAction, key: str) -> str | None:
        """Return the nearest agent that lacks a grant: one of the teams has to let its agent write, all of them read.

        Who may write an entry may read it: a conflict shows what is there.
        """
        mine = [grant for grant in self.grants if self._place(grant.board) == place]
        if any(board.allows("write", agent, key) for board, agent in mine):
            return None
        if action == "write":
            return mine[-1].agent
        return next((agent for board, agent in reversed(mine) if not board.allows("read", agent, key)), None)

    def _note_read(self, entries: Sequence[BoardEntry]) -> None:
        """Note what the code of the attempt reads: only what people have written outside of runs is trusted."""
        if self._integrity is not None and any(entry.run_id is not None for entry in entries):
            self._integrity.lower()

    def _emit(self, entry: BoardEntry) -> None:
        facts = {"board": entry.board, "key": entry.key, "version": entry.version, "entry_kind": entry.kind}
        deleted = {"is_deleted": True} if entry.is_deleted else {}
        self._services.emit("board_written", self._position, **facts, **deleted)


def access_of(
    current: ExecutionContext | None,
    board: Board | None,
    services: Services,
    config: Mapping[str, Any] | RunnableConfig,
    me: DelegationScope,
    integrity: IntegrityRecord | None = None,
) -> BoardAccess:
    """Return the boards that an attempt sees, perhaps none.

    They are those of the agent that its team works for, in the `current` execution, and the `board` of its team.
    Without a thread, of the runner or in the config, they belong to the run.
    """
    above: BoardAccess | None = None if current is None else current.boards
    if above is not None and above.grants:
        return above.within(me, board, integrity)
    own = () if board is None else (BoardGrant(board, me.path[-1]),)
    thread_id = services.thread_id or (config.get("configurable") or {}).get("thread_id") or me.run_id
    return BoardAccess(services, str(thread_id), me, own, above, integrity)
