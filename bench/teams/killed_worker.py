"""An agent that works in a process of its own, which is killed while it works."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from threading import Lock

__all__ = ("KilledWorker", "killed_worker")


class KilledWorker:
    """The process of an agent, as the code of the agent sees it."""

    def __init__(self, name: str, connection: Connection) -> None:
        self.name = name
        self._connection, self._lock = connection, Lock()

    def work(self, agent: str, job: str) -> str:
        """Do a job: that of this agent in its process, any other at once. Raises `OSError` once that is dead."""
        if agent != self.name:
            return "done"
        with self._lock:
            try:
                self._connection.send(job)
                return str(self._connection.recv())
            except EOFError as error:
                raise ConnectionError(f"the process of {agent!r} is dead") from error


@contextmanager
def killed_worker(name: str, *, jobs: int) -> Generator[KilledWorker]:
    """Yield an agent whose process does so many jobs, and is killed (SIGKILL) in the next one."""
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, jobs), daemon=True)
    process.start()
    theirs.close()
    try:
        yield KilledWorker(name, ours)
    finally:
        ours.close()
        process.join()


def _serve(connection: Connection, jobs: int) -> None:
    for _ in range(jobs):
        try:
            connection.recv()
        except EOFError:
            return
        connection.send("done")
    try:
        connection.recv()
    except EOFError:
        return
    os.kill(os.getpid(), signal.SIGKILL)
