"""Who uses a board: an agent in one attempt, or a person outside of runs; its grants, and the names of its writes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import blake2b
from threading import Lock

from guardgraph.runtime.boards.declaration import BoardAction
from guardgraph.state import BadInput, BoardDenied, BoardEntry

__all__ = ("BoardUser",)


def _everything(_action: BoardAction, _key: str) -> bool:
    return True


def _never() -> bool:
    return False


def _ignore(_entry: BoardEntry) -> None:
    """Do nothing."""


@dataclass(slots=True)
class BoardUser:
    """Who reads and writes one board."""

    board: str

    author: str
    run_id: str | None = None
    attempt: str | None = None
    """The idempotency key of the attempt, which makes each of its writes once; `None` outside of runs."""
    may: Callable[[BoardAction, str], bool] = _everything
    """Returns whether it may read or write a key."""
    on_written: Callable[[BoardEntry], object] = _ignore
    """Called with each version that it has written."""
    has_ended: Callable[[], bool] = _never
    """Returns whether its attempt is over: then it writes nothing any more."""
    _counts: Counter[str] = field(default_factory=Counter[str])
    _lock: Lock = field(default_factory=Lock)

    def check(self, action: BoardAction, key: str) -> None:
        """Raise `BoardDenied` for what it may not do."""
        board = self.board
        if action == "write" and not self.author.strip():
            raise BadInput(f"a write on board {board!r} needs an author: runner.board({board!r}, author=…)")
        if action == "write" and self.has_ended():
            raise BoardDenied(board, key, author=self.author, action=action, has_ended=True)
        if not self.may(action, key):
            raise BoardDenied(board, key, author=self.author, action=action)

    @contextmanager
    def named(self, key: str) -> Generator[Callable[[str], str | None]]:
        """Yield what names a write by its content: by the attempt, the entry, and how many of that it has made before.

        A write that fails is not counted, so that an attempt that runs again gives the same names.
        """
        if self.attempt is None:
            yield lambda _: None
            return
        with self._lock:
            number = self._counts[key]
            self._counts[key] += 1
        try:
            yield lambda what: f"{self.attempt} {_digest(key, what)} {number}"
        except BaseException:
            with self._lock:
                if self._counts[key] == number + 1:
                    self._counts[key] = number
            raise


def _digest(*parts: str) -> str:
    return blake2b("\0".join(parts).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
