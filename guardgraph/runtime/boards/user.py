"""Who uses a board: an agent in one attempt, or a person outside of runs; its grants, and the names of its writes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import blake2b
from threading import Lock

from guardgraph.runtime.boards.declaration import BoardAction
from guardgraph.state import BadInput, BoardDenied, BoardEntry

__all__ = ("BoardUser",)


def _nobody(_action: BoardAction, _key: str) -> str | None:
    return None


def _never() -> bool:
    return False


def _ignore(_what: object) -> None:
    """Do nothing."""


@dataclass(slots=True)
class BoardUser:
    """Who reads and writes one board."""

    board: str

    author: str
    run_id: str | None = None
    attempt: str | None = None
    """The idempotency key of the attempt, which makes each of its writes once; `None` outside of runs."""
    without_grant: Callable[[BoardAction, str], str | None] = _nobody
    """Returns the agent that lacks the grant to read or write a key; `None` where it may."""
    on_written: Callable[[BoardEntry], object] = _ignore
    """Called with each version that it has written."""
    has_ended: Callable[[], bool] = _never
    """Returns whether its attempt is over: then it writes nothing any more."""
    on_read: Callable[[Sequence[BoardEntry]], object] = _ignore
    """Called with the versions that it has read."""
    _counts: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])
    _turns: dict[str, Lock] = field(default_factory=dict[str, Lock])
    _lock: Lock = field(default_factory=Lock)

    def may(self, action: BoardAction, key: str) -> bool:
        """Return whether it may read or write a key."""
        return self.without_grant(action, key) is None

    def check(self, action: BoardAction, key: str) -> None:
        """Raise `BoardDenied` for what it may not do."""
        board = self.board
        if action == "write" and not self.author.strip():
            raise BadInput(f"a write on board {board!r} needs an author: runner.board({board!r}, author=…)")
        if action == "write" and self.has_ended():
            raise BoardDenied(board, key, author=self.author, action=action, has_ended=True)
        agent = self.without_grant(action, key)
        if agent is not None:
            raise BoardDenied(board, key, author=self.author, action=action, agent=agent)

    @contextmanager
    def turn(self, key: str) -> Generator[None]:
        """Let an attempt write an entry once at a time, so that its writes are counted in their order."""
        if self.attempt is None:
            yield
            return
        with self._lock:
            turn = self._turns.setdefault(key, Lock())
        with turn:
            yield

    def name(self, key: str, content: str, *, function: str = "") -> str | None:
        """Return what names the next write of an entry by its content, `None` outside of runs.

        It is made of the attempt, the entry, and how many writes of that it has made before. Those of an update, whose
        content may change, are counted by the name of its `function`.
        """
        return self.attempt and f"{self.attempt} {_digest(key, content)} {self._counts[key, function]}"

    def count(self, key: str, *, function: str = "") -> None:
        """Count a write that was made: one that failed is none, and an attempt that runs again gives the same names."""
        self._counts[key, function] += 1


def _digest(*parts: str) -> str:
    return blake2b("\0".join(parts).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
