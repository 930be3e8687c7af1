"""A process that was forked from this one, to be killed; it says by lines how far it is."""

from __future__ import annotations

import os
import signal
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import TextIO

__all__ = ("Forked", "end_in")


def end_in(seconds: float) -> None:
    """Let the kernel end this process so much later, whatever it does then; no code of Python runs at its end."""
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 1e-6))


class Forked(AbstractContextManager["Forked"]):
    """A process that does `work(lines)` and ends; where it fails, it prints why and ends with 1.

    This process must not have opened a database before, since its connections would be shared.
    """

    def __init__(self, work: Callable[[TextIO], object]) -> None:
        """Begin the work, with a pipe for lines."""
        reader, writer = os.pipe()
        self._process = os.fork()
        if self._process == 0:
            os.close(reader)
            code = 1
            try:
                with os.fdopen(writer, "w", buffering=1, encoding="utf-8") as lines:
                    work(lines)
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)
        os.close(writer)
        self._reader = os.fdopen(reader, encoding="utf-8")
        self._status: int | None = None

    def __exit__(self, *_: object) -> None:
        if self._status is None:
            os.kill(self._process, signal.SIGKILL)
        self.wait()
        self._reader.close()

    def __iter__(self) -> Iterator[str]:
        """Yield its lines until it ends; the last one may be part of a line after a kill."""
        return iter(self._reader)

    def killed(self) -> bool:
        """Wait until it has ended, and return whether a signal ended it."""
        return os.WIFSIGNALED(self.wait())

    def wait(self) -> int:
        """Wait until it has ended, and return the status of `os.waitpid`."""
        if self._status is None:
            _, self._status = os.waitpid(self._process, 0)
        return self._status
