"""A process that works on threads, to be stopped or killed."""

from __future__ import annotations

import os
import signal
import time
from contextlib import AbstractContextManager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from bench.faults import team

__all__ = ("Worker",)


class Worker(AbstractContextManager["Worker"]):
    """A process with a `Runner` of its own; each is forked from one that has only imported what it needs."""

    def __init__(self, url: str, log: Path, *, lease_seconds: float = 30.0) -> None:
        """Start it, and wait until it has opened the database."""
        context = get_context("forkserver")
        context.set_forkserver_preload([team.__name__])
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=team.serve, args=(theirs, url, log, lease_seconds), daemon=True)
        self._process.start()
        theirs.close()
        self._pipe.recv()

    def __exit__(self, *_: object) -> None:
        self.kill()

    def begin(self, action: str, thread_id: str, facts: dict[str, Any], *, at: float | None = None) -> None:
        """Let it do something, at a moment of `time.time()` or at once; see `result`."""
        self._pipe.send((at or time.time(), action, thread_id, facts))

    def result(self) -> dict[str, Any]:
        """Return how that went; raise `EOFError` when it has ended."""
        return self._pipe.recv()

    def pause(self) -> None:
        """Stop it as it is."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.join()

    def _signal(self, number: signal.Signals) -> None:
        assert self._process.pid is not None
        os.kill(self._process.pid, number)
